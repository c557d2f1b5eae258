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


def match_atss(levels: Sequence[AnchorLevel], boxes: Tensor, topk: int = 9) -> Tensor:
    """Box index of every anchor, or BACKGROUND: [N] int64.

    For each box the ``topk`` nearest cells of every level give the candidates (all anchors of those cells);
    candidates whose IoU reaches the mean plus the standard deviation over the candidates, and whose centre
    lies inside the box, are its objects. An anchor claimed by several boxes goes to the one of highest IoU.
    boxes: [M, 4] xyxy with positive area.
    """
    total = sum(len(level.boxes) for level in levels)
    matched = boxes.new_full((total,), BACKGROUND, dtype=torch.int64)
    best = boxes.new_full((total,), -1.0)
    anchors = torch.cat([level.boxes for level in levels])
    for start in range(0, len(boxes), BOXES_AT_ONCE):
        block = boxes[start : start + BOXES_AT_ONCE]
        candidate = _candidates(levels, block, topk)  # [m, c]
        iou = box_iou(anchors[candidate], block[:, None])
        # A lone candidate has no deviation: it is taken where its centre lies inside.
        deviation = iou.std(dim=1, keepdim=True, correction=min(1, iou.shape[1] - 1))
        threshold = iou.mean(dim=1, keepdim=True) + deviation
        taken = (iou >= threshold) & _centre_inside(anchors[candidate], block[:, None])
        for row in range(len(block)):
            mine, overlap = candidate[row][taken[row]], iou[row][taken[row]]
            better = overlap > best[mine]
            best[mine[better]] = overlap[better]
            matched[mine[better]] = start + row
    return matched


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
