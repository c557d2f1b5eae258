"""Which anchors stand for which boxes: one picture's assignment, by IoU or by ATSS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.ops.fixed_size import needs_fixed_size
from foveal.ops.matcher import ignore_crowd
from foveal.types import AnchorLevel, Target

Assigner = Callable[[Sequence[AnchorLevel], Tensor], Tensor]
"""(levels, boxes [M, 4]) -> box index of every anchor, or BACKGROUND, or IGNORE: [N] int64.

On CUDA boxes of zero area stand for none."""


class Assignment(NamedTuple):
    """Targets of a batch, anchors in the order of the levels."""

    labels: Tensor
    """[B, N] class, BACKGROUND or IGNORE."""
    box: Tensor
    """[B, N] row of ``boxes``, where the anchor is an object."""
    boxes: Tensor
    """[M, 4] boxes of all pictures, and a row that is no one's, so that there always is one."""
    counts: tuple[int, ...] = ()
    """Rows of ``boxes`` that are of each picture, in order, after the first."""


@torch.no_grad()
def assign(levels: Sequence[AnchorLevel], targets: Sequence[Target], assigner: Assigner) -> Assignment:
    """Assign every anchor of every picture; anchors inside crowd regions are ignored, never objects."""
    matched, box = [], []
    boxes, labels = [levels[0].boxes.new_zeros(1, 4)], [targets[0].labels.new_zeros(1)]
    count = 1
    for target in targets:
        solid, label, regions = _crowd_apart(target)
        found = ignore_crowd(assigner(levels, solid), levels, regions)
        matched.append(found)
        box.append(torch.where(found >= 0, found + count, 0))
        boxes.append(solid)
        labels.append(label)
        count += len(solid)
    rows = torch.stack(box)
    return Assignment(
        torch.where(rows > 0, torch.cat(labels)[rows], torch.stack(matched)),
        rows,
        torch.cat(boxes),
        tuple(len(part) for part in boxes[1:]),
    )


def _crowd_apart(target: Target) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes that may have objects, their labels, and the regions of crowds.

    Where sizes must not follow the data, boxes of zero area stand in the places of what was taken out.
    """
    boxes, crowd = target.boxes, target.crowd
    if needs_fixed_size(boxes):
        return boxes.where(~crowd[:, None], 0), target.labels, boxes.where(crowd[:, None], 0)
    return boxes[~crowd], target.labels[~crowd], boxes[crowd]
