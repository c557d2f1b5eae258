"""What tensors under our names show of the network: depth, width, levels, subnets, classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from foveal.config.resnets import RESNETS
from foveal.errors import ModelFileError

LAST_LEVEL = 5
WAY_OUT = "train it anew with foveal train, on any timm backbone"


class Structure(NamedTuple):
    """A RetinaNet, as far as its weights tell."""

    backbone: str
    bottleneck: bool
    min_level: int
    levels: int
    width: int
    extra_convs: str | None
    """on_input, on_output; None where there are none, or C5 is as wide as the neck."""
    neck_norm: str
    num_layers: int
    head_norm: str
    num_anchors: int
    num_classes: int


def read_structure(tensors: Mapping[str, Tensor]) -> Structure:
    """ModelFileError, without the file's name, where a part is missing or of another kind."""
    backbone, bottleneck = _backbone(tensors)
    laterals = _count(tensors, r"neck\.lateral\.(\d)\.0\.weight")
    outputs = _count(tensors, r"neck\.output\.(\d)\.0\.weight")
    if not laterals or outputs != laterals:
        raise ModelFileError(f"its feature pyramid has {laterals} lateral and {outputs} output convolutions")
    last = tensors[f"neck.lateral.{laterals - 1}.0.weight"]
    blocks = _count(tensors, r"head\.cls_subnet\.(\d+)\.conv\.weight")
    num_anchors, num_classes = _outputs(tensors)
    return Structure(
        backbone=backbone,
        bottleneck=bottleneck,
        min_level=LAST_LEVEL + 1 - laterals,
        levels=laterals + _count(tensors, r"neck\.extra\.(\d)\.0\.weight"),
        width=last.shape[0],
        extra_convs=_extra_convs(tensors, last),
        neck_norm=_norm(tensors, "neck.lateral.0.1"),
        num_layers=blocks,
        head_norm=_norm(tensors, "head.cls_subnet.0.norm"),
        num_anchors=num_anchors,
        num_classes=num_classes,
    )


def _backbone(tensors: Mapping[str, Tensor]) -> tuple[str, bool]:
    places = [re.match(r"backbone\.body\.layer(\d)\.(\d+)\.conv(\d)\.weight", name) for name in tensors]
    found = [(int(m[1]), int(m[2]), int(m[3])) for m in places if m]
    if not found:
        raise ModelFileError(
            f"its backbone is no ResNet: only resnet18 to resnet152 can be converted; {WAY_OUT}"
        )
    blocks = tuple(len({block for stage, block, _ in found if stage == number}) for number in range(1, 5))
    kind = "bottleneck" if any(conv == 3 for _, _, conv in found) else "basicblock"
    name = RESNETS.get((kind, blocks))
    if name is None:
        known = ", ".join(RESNETS.values())
        raise ModelFileError(
            f"its backbone has {'-'.join(map(str, blocks))} {kind.removesuffix('block')} blocks "
            f"and is none of {known}; {WAY_OUT}"
        )
    return name, kind == "bottleneck"


def _outputs(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Anchors per cell and classes, from the rows of the two output layers."""
    sizes = []
    for name in ("head.bbox_pred.weight", "head.cls_logits.weight"):
        if name not in tensors or tensors[name].ndim != 4:
            raise ModelFileError(f"it has no output layer {name}")
        sizes.append(tensors[name].shape[0])
    anchors, rest = divmod(sizes[0], 4)
    if rest or not anchors or sizes[1] % anchors:
        raise ModelFileError(
            f"its output layers have {sizes[0]} and {sizes[1]} rows, which is no 4 and K for each of A anchors"
        )
    return anchors, sizes[1] // anchors


def _extra_convs(tensors: Mapping[str, Tensor], lateral: Tensor) -> str | None:
    extra = tensors.get("neck.extra.0.0.weight")
    c5, width = lateral.shape[1], lateral.shape[0]
    if extra is None or c5 == width or extra.ndim != 4:
        return None
    return "on_input" if extra.shape[1] == c5 else "on_output"


def _norm(tensors: Mapping[str, Tensor], layer: str) -> str:
    if f"{layer}.running_var" in tensors:
        return "batch_norm"
    return "group_norm" if f"{layer}.weight" in tensors else "none"


def _count(names: Iterable[str], pattern: str) -> int:
    return len({match[1] for name in names if (match := re.fullmatch(pattern, name))})
