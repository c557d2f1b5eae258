"""Assignment by IoU (paper, section 4, "Anchors"): object from 0.5, background below 0.4, ignored between."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.ops.iou import box_iou, intersection_over_area
from foveal.ops.windows import nearest_cell_iou, pairs_above
from foveal.types import BACKGROUND, IGNORE, AnchorLevel

ROWS_AT_ONCE = 2048
"""Rows of a dense IoU block: bounds the memory of the low-quality rule."""


def match_iou(
    levels: Sequence[AnchorLevel],
    boxes: Tensor,
    fg_iou_thresh: float = 0.5,
    bg_iou_thresh: float = 0.4,
    allow_low_quality: bool = True,
) -> Tensor:
    """Box index of every anchor, or BACKGROUND, or IGNORE: [N] int64.

    Each anchor goes to the box it overlaps most (the first of equals). ``allow_low_quality``: the anchors
    that share a box's highest IoU become objects even below the threshold (Faster R-CNN's rule); each then
    belongs to the box that it overlaps most itself, as elsewhere in the field.
    boxes: [M, 4] xyxy with positive area. ValueError unless 0 <= bg <= fg <= 1.
    The result equals that of the dense N x M matrix; only pairs that can matter are computed.
    """
    if not 0 <= bg_iou_thresh <= fg_iou_thresh <= 1:
        raise ValueError(f"need 0 <= bg_iou_thresh <= fg_iou_thresh <= 1: {bg_iou_thresh}, {fg_iou_thresh}")
    total = sum(len(level.boxes) for level in levels)
    matched = boxes.new_full((total,), BACKGROUND, dtype=torch.int64)
    if not len(boxes):
        return matched
    floor = boxes.new_full((len(boxes),), bg_iou_thresh)
    if allow_low_quality:
        floor = torch.minimum(floor, nearest_cell_iou(levels, boxes))
    pairs = pairs_above(levels, boxes, floor)
    best = boxes.new_zeros(total).scatter_reduce(0, pairs.anchor, pairs.iou, "amax")
    first = _first_best(pairs.anchor, pairs.box, pairs.iou, best, len(boxes))
    first = torch.where(best > 0, first, 0)  # no overlap at all is a tie of all boxes
    matched = torch.where(best >= bg_iou_thresh, IGNORE, matched)
    matched = torch.where(best >= fg_iou_thresh, first, matched)
    if allow_low_quality:
        best_of_box = boxes.new_zeros(len(boxes)).scatter_reduce(0, pairs.box, pairs.iou, "amax")
        chosen = pairs.anchor[(pairs.iou == best_of_box[pairs.box]) & (pairs.iou > 0)]
        matched[chosen] = _closest_box(levels, chosen, boxes)
    return matched


def ignore_crowd(matched: Tensor, levels: Sequence[AnchorLevel], crowd: Tensor, share: float = 0.5) -> Tensor:
    """Background anchors that lie in a crowd region with at least this share of their area become IGNORE.

    matched: [N] from a matcher; crowd: [Q, 4] xyxy. The overlap is COCO evaluation's: common area over the
    anchor's own.
    """
    if not len(crowd):
        return matched
    anchors = torch.cat([level.boxes for level in levels])
    for region in crowd:
        inside = intersection_over_area(anchors, region) >= share
        matched = torch.where(inside & (matched == BACKGROUND), IGNORE, matched)
    return matched


def _first_best(anchor: Tensor, box: Tensor, iou: Tensor, best: Tensor, boxes: int) -> Tensor:
    """[N] lowest index among the boxes that reach an anchor's best IoU."""
    contender = torch.where(iou == best[anchor], box, boxes)
    return box.new_full(best.shape, boxes).scatter_reduce(0, anchor, contender, "amin")


def _closest_box(levels: Sequence[AnchorLevel], chosen: Tensor, boxes: Tensor) -> Tensor:
    """Box of highest IoU for each chosen anchor, over all boxes."""
    anchors = torch.cat([level.boxes for level in levels])[chosen]
    blocks = [box_iou(block[:, None], boxes[None]).argmax(dim=1) for block in anchors.split(ROWS_AT_ONCE)]
    return torch.cat(blocks) if blocks else chosen
