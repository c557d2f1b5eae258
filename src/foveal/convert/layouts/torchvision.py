"""torchvision: models/detection/retinanet.py, backbone_utils.py; ops/feature_pyramid_network.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

from foveal.convert.layouts.layout import BLOCK, CLASSIFIER, Layout, Rules

HEADS = {"classification_head": "cls_subnet", "regression_head": "box_subnet"}


def _subnet(match: re.Match[str]) -> str:
    layer = "norm" if match[3] == "1" else "conv"
    return f"head.{HEADS[match[1]]}.{match[2]}.{layer}.{match[4]}"


def _old_subnet(match: re.Match[str]) -> str:
    """Before 0.13 a subnet was one sequence: convolution, ReLU, convolution, ..."""
    return f"head.{HEADS[match[1]]}.{int(match[2]) // 2}.conv.{match[3]}"


def rules(_: Iterable[str]) -> Rules:
    """Names of both versions."""
    return (
        (rf"backbone\.body\.{BLOCK}", r"backbone.body.\1"),
        # One convolution was a plain one before 0.13, and is now the first part of a block of layers.
        (r"backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?(\w+)", r"neck.lateral.\1.0.\2"),
        (r"backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?(\w+)", r"neck.output.\1.0.\2"),
        (r"backbone\.fpn\.extra_blocks\.p6\.(\w+)", r"neck.extra.0.0.\1"),
        (r"backbone\.fpn\.extra_blocks\.p7\.(\w+)", r"neck.extra.1.0.\1"),
        (r"head\.(classification_head|regression_head)\.conv\.(\d)\.([01])\.(\w+)", _subnet),
        (r"head\.(classification_head|regression_head)\.conv\.(\d)\.(\w+)", _old_subnet),
        (r"head\.classification_head\.cls_logits\.(\w+)", r"head.cls_logits.\1"),
        (r"head\.regression_head\.bbox_reg\.(\w+)", r"head.bbox_pred.\1"),
    )


MARKS = (r"backbone\.fpn\.extra_blocks\.p6\.weight", r"head\.classification_head\.cls_logits\.weight")
V1 = Layout(
    "torchvision_v1", "torchvision_v1", "torchvision's RetinaNet", MARKS, rules, (800, 1344), CLASSIFIER,
    background=True,
)  # fmt: skip
V2 = V1._replace(
    name="torchvision_v2",
    preset="torchvision_v2",
    title="torchvision's RetinaNet, version 2",
    marks=(*MARKS, r"head\.classification_head\.conv\.0\.1\.weight"),
)
