"""Adaptive training sample selection (Zhang et al. 2020, algorithm 1): thresholds from each box's own anchors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.ops.iou import box_iou
from foveal.types import BACKGROUND, AnchorLevel

BOXES_AT_ONCE = 64
"""Boxes whose distances to all cells are held at a time: bounds the memory."""
INSIDE = 0.01
"""An anchor's centre must lie this far inside the box, in pixels."""
NO_OBJECT = -1.0
"""In the place of an IoU."""


def match_atss(levels: Sequence[AnchorLevel], boxes: Tensor, topk: int = 9) -> Tensor:
    """Box index of every anchor, or BACKGROUND: [N] int64.

    For each box the ``topk`` nearest cells of every level give the candidates (all anchors of those cells);
    candidates whose IoU reaches the mean plus the standard deviation over the candidates, and whose centre
    lies inside the box, are its objects. An anchor claimed by several boxes goes to the one of highest IoU.
    boxes: [M, 4] xyxy; one of zero area has no objects. No size depends on a value: CUDA need not wait.
    """
    anchors = torch.cat([level.boxes for level in levels])
    matched = boxes.new_full((len(anchors),), BACKGROUND, dtype=torch.int64)
    if not len(boxes):
        return matched
    found = [_objects(levels, anchors, block, topk) for block in boxes.split(BOXES_AT_ONCE)]
    anchor, overlap = (torch.cat(parts) for parts in zip(*found, strict=True))  # [M, c]
    box = torch.arange(len(boxes), device=boxes.device)[:, None].expand_as(anchor)
    best = overlap.new_full((len(anchors),), NO_OBJECT).scatter_reduce(
        0, anchor.flatten(), overlap.flatten(), "amax"
    )
    # The first of equals: the others are put behind every box.
    claim = torch.where(overlap == best[anchor], box, len(boxes)).flatten()
    first = torch.full_like(matched, len(boxes)).scatter_reduce(0, anchor.flatten(), claim, "amin")
    return torch.where(best > NO_OBJECT, first, matched)


def _objects(
    levels: Sequence[AnchorLevel], anchors: Tensor, boxes: Tensor, topk: int
) -> tuple[Tensor, Tensor]:
    """Candidates of each box [m, c], and their IoU with it where they are its objects, else NO_OBJECT."""
    candidate = _candidates(levels, boxes, topk)
    iou = box_iou(anchors[candidate], boxes[:, None])
    # A lone candidate has no deviation: it is taken where its centre lies inside.
    deviation = iou.std(dim=1, keepdim=True, correction=min(1, iou.shape[1] - 1))
    threshold = iou.mean(dim=1, keepdim=True) + deviation
    taken = (iou >= threshold) & _centre_inside(anchors[candidate], boxes[:, None])
    return candidate, torch.where(taken, iou, NO_OBJECT)


def _candidates(levels: Sequence[AnchorLevel], boxes: Tensor, topk: int) -> Tensor:
    """[m, c] anchors of the cells nearest to each box's centre, level by level."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    found = []
    start = 0
    for level in levels:
        per_cell = len(level.cell)
        cells = level.boxes[::per_cell]
        middle = (cells[:, :2] + cells[:, 2:]) / 2
        distance = (centre[:, None] - middle[None]).square().sum(dim=-1)
        nearest = distance.topk(min(topk, len(cells)), dim=1, largest=False).indices
        every = nearest[:, :, None] * per_cell + torch.arange(per_cell, device=boxes.device)
        found.append(every.flatten(1) + start)
        start += len(level.boxes)
    return torch.cat(found, dim=1)


def _centre_inside(anchors: Tensor, boxes: Tensor) -> Tensor:
    middle = (anchors[..., :2] + anchors[..., 2:]) / 2
    margin = torch.cat([middle - boxes[..., :2], boxes[..., 2:] - middle], dim=-1)
    return margin.min(dim=-1).values > INSIDE
