"""NetsPresso Trainer: models/heads/detection/.../anchor_decoupled_head.py, necks/.../fpn.py, op/custom.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from foveal.convert.layouts.layout import Layout, Rules, Settings
from foveal.convert.reading import Source

HEADS = {"classification_head": "cls_subnet", "regression_head": "box_subnet"}
ASSUMED_SIDE = 512
"""Side of the picture that its anchors' steps are made for, whatever the picture."""


def _block(match: re.Match[str]) -> str:
    """stages.0.1.conv1.block.norm.weight -> layer1.1.bn1.weight."""
    stage, block, layer, part, tensor = match.groups()
    if layer == "downsample":
        name = f"downsample.{0 if part == 'conv' else 1}"
    else:
        name = layer if part == "conv" else f"bn{layer[-1]}"
    return f"backbone.body.layer{int(stage) + 1}.{block}.{name}.{tensor}"


def _stem(match: re.Match[str]) -> str:
    return f"backbone.body.{'conv1' if match[1] == 'conv' else 'bn1'}.{match[2]}"


def _subnet(match: re.Match[str]) -> str:
    return f"head.{HEADS[match[1]]}.{match[2]}.{match[3]}.{match[4]}"


def rules(names: Iterable[str]) -> Rules:
    """Names; the neck's convolutions beyond the lateral ones make the extra levels."""
    laterals = sum(1 for name in names if re.fullmatch(r"neck\.lateral_convs\.\d\.weight", name))

    def output(match: re.Match[str]) -> str:
        level = int(match[1])
        kind, level = ("output", level) if level < laterals else ("extra", level - laterals)
        return f"neck.{kind}.{level}.0.{match[2]}"

    return (
        (r"backbone\.conv1\.block\.(conv|norm)\.(\w+)", _stem),
        (r"backbone\.stages\.(\d)\.(\d+)\.(conv[1-3]|downsample)\.block\.(conv|norm)\.(\w+)", _block),
        (r"neck\.lateral_convs\.(\d)\.(\w+)", r"neck.lateral.\1.0.\2"),
        (r"neck\.fpn_convs\.(\d)\.(\w+)", output),
        (r"head\.(classification_head|regression_head)\.conv\.(\d)\.block\.(conv|norm)\.(\w+)", _subnet),
        (r"head\.classification_head\.cls_logits\.(\w+)", r"head.cls_logits.\1"),
        (r"head\.regression_head\.bbox_reg\.(\w+)", r"head.bbox_pred.\1"),
    )


def settings(_: Source, tensors: Mapping[str, Tensor]) -> Settings:
    """Its anchor steps; its extra levels, where there are any, come without ReLU unless configured."""
    found: Settings = {"architecture.head.params.anchor_step": ASSUMED_SIDE}
    if any(name.startswith("neck.extra.1.") for name in tensors):
        found["architecture.neck.params.relu_before_extra_convs"] = False
    return found


LAYOUT = Layout(
    "netspresso",
    "netspresso",
    "NetsPresso Trainer",
    (r"backbone\.conv1\.block\.conv\.weight", r"head\.classification_head\.cls_logits\.weight"),
    rules,
    (512, 512),
    settings=settings,
)
