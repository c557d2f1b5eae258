"""yhenon's pytorch-retinanet: retinanet/model.py, anchors.py, utils.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

from foveal.convert.layouts.layout import BLOCK, CLASSIFIER, Layout, Rules

MODELS = {"classificationModel": "cls_subnet", "regressionModel": "box_subnet"}


def _level(match: re.Match[str]) -> str:
    return f"neck.{'lateral' if match[2] == '1' else 'output'}.{int(match[1]) - 3}.0.{match[3]}"


def _subnet(match: re.Match[str]) -> str:
    return f"head.{MODELS[match[1]]}.{int(match[2]) - 1}.conv.{match[3]}"


def rules(_: Iterable[str]) -> Rules:
    """Names."""
    return (
        (BLOCK, r"backbone.body.\1"),
        (r"fpn\.P([3-5])_([12])\.(\w+)", _level),
        (r"fpn\.P6\.(\w+)", r"neck.extra.0.0.\1"),
        (r"fpn\.P7_2\.(\w+)", r"neck.extra.1.0.\1"),
        (r"(classificationModel|regressionModel)\.conv(\d)\.(\w+)", _subnet),
        (r"classificationModel\.output\.(\w+)", r"head.cls_logits.\1"),
        (r"regressionModel\.output\.(\w+)", r"head.bbox_pred.\1"),
    )


LAYOUT = Layout(
    "yhenon",
    "yhenon",
    "yhenon's pytorch-retinanet",
    (r"fpn\.P6\.weight", r"classificationModel\.output\.weight"),
    rules,
    (608, 1024),
    (*CLASSIFIER, (r"(?:regressBoxes|anchors)\..*", "the decoding's constants, in the preset")),
)
