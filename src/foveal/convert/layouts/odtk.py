"""NVIDIA's odtk (retinanet-examples): odtk/model.py, backbones/fpn.py and resnet.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from foveal.convert.layouts.layout import BLOCK, CLASSIFIER, Layout, Rules, Settings
from foveal.convert.reading import Source

BODY = r"backbones\.\w+\."
STRIDES = (8, 16, 32, 64, 128)


def rules(names: Iterable[str]) -> Rules:
    """Names; the last convolution of a subnet is its output layer."""
    last = max(
        (int(m[1]) for name in names if (m := re.fullmatch(r"cls_head\.(\d+)\.weight", name))), default=8
    )

    def level(match: re.Match[str]) -> str:
        kind = "lateral" if match[1] == "lateral" else "output"
        return f"neck.{kind}.{int(match[2]) - 3}.0.{match[3]}"

    def subnet(match: re.Match[str]) -> str:
        head, place = match[1], int(match[2])
        if place == last:
            return f"head.{'cls_logits' if head == 'cls' else 'bbox_pred'}.{match[3]}"
        return f"head.{head}_subnet.{place // 2}.conv.{match[3]}"

    return (
        (BODY + rf"features\.{BLOCK}", r"backbone.body.\1"),
        (BODY + r"(lateral|smooth)([3-5])\.(\w+)", level),
        (BODY + r"pyramid6\.(\w+)", r"neck.extra.0.0.\1"),
        (BODY + r"pyramid7\.(\w+)", r"neck.extra.1.0.\1"),
        (r"(cls|box)_head\.(\d+)\.(\w+)", subnet),
    )


def settings(source: Source, tensors: Mapping[str, Tensor]) -> Settings:
    """Ratios and scales that the file holds; a scale is a factor on the stride."""
    found: Settings = {}
    ratios, scales = source.facts.get("ratios"), source.facts.get("scales")
    if _numbers(ratios):
        found["architecture.head.params.aspect_ratios"] = [float(ratio) for ratio in ratios or ()]
    if _numbers(scales):
        sizes = [[stride * float(scale) for scale in scales or ()] for stride in STRIDES]
        found["architecture.head.params.anchor_sizes"] = sizes
    return found


def _numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values)


LAYOUT = Layout(
    "odtk",
    "odtk",
    "NVIDIA's odtk",
    (BODY + r"pyramid6\.weight", BODY + r"features\.conv1\.weight", r"cls_head\.\d+\.weight"),
    rules,
    (800, 1280),
    CLASSIFIER,
    settings=settings,
)
