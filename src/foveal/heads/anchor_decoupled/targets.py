"""Which anchors stand for which boxes: one picture's assignment, by IoU or by ATSS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.ops.matcher import ignore_crowd
from foveal.types import AnchorLevel, Target

Assigner = Callable[[Sequence[AnchorLevel], Tensor], Tensor]
"""(levels, boxes [M, 4]) -> box index of every anchor, or BACKGROUND, or IGNORE: [N] int64."""


class Assignment(NamedTuple):
    """Targets of a batch, anchors in the order of the levels."""

    labels: Tensor
    """[B, N] class, BACKGROUND or IGNORE."""
    boxes: Tensor
    """[P, 4] box of each object, in row-major order of ``labels >= 0``."""


@torch.no_grad()
def assign(levels: Sequence[AnchorLevel], targets: Sequence[Target], assigner: Assigner) -> Assignment:
    """Assign every anchor of every picture; anchors inside crowd regions are ignored, never objects."""
    labels, boxes = [], []
    for target in targets:
        solid = target.boxes[~target.crowd]
        matched = assigner(levels, solid)
        matched = ignore_crowd(matched, levels, target.boxes[target.crowd])
        objects = matched >= 0
        box = matched[objects]
        label = matched.clone()
        label[objects] = target.labels[~target.crowd][box]
        labels.append(label)
        boxes.append(solid[box])
    return Assignment(torch.stack(labels), torch.cat(boxes))
