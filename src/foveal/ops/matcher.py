"""Assignment by IoU (paper, section 4, "Anchors"): object from 0.5, background below 0.4, ignored between."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.ops.fixed_size import needs_fixed_size
from foveal.ops.iou import box_area, box_iou, intersection_over_area
from foveal.ops.windows import nearest_cell_iou, pairs_above
from foveal.types import BACKGROUND, IGNORE, AnchorLevel

ROWS_AT_ONCE = 64
"""Anchors that are compared with all boxes near them at a time."""
PAIRS_AT_ONCE = 1 << 22
"""Pairs of a dense block of whole boxes, at 8 bytes a pair in its largest temporary."""


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
    The result equals that of the dense N x M matrix; only pairs that can matter are computed. On CUDA it is
    the dense matrix, block by block, and a box of zero area stands for none.
    """
    if not 0 <= bg_iou_thresh <= fg_iou_thresh <= 1:
        raise ValueError(f"need 0 <= bg_iou_thresh <= fg_iou_thresh <= 1: {bg_iou_thresh}, {fg_iou_thresh}")
    if needs_fixed_size(boxes):
        return match_dense(levels, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality)
    total = sum(len(level.boxes) for level in levels)
    matched = boxes.new_full((total,), BACKGROUND, dtype=torch.int64)
    if not len(boxes):
        return matched
    if bg_iou_thresh == 0:  # an anchor that overlaps nothing is a tie of all boxes
        matched.fill_(0 if fg_iou_thresh == 0 else IGNORE)
    floor = boxes.new_full((len(boxes),), bg_iou_thresh)
    if allow_low_quality:
        floor = torch.minimum(floor, nearest_cell_iou(levels, boxes))
    pairs = pairs_above(levels, boxes, floor)
    anchor, place = pairs.anchor.unique(return_inverse=True)
    best = boxes.new_zeros(len(anchor)).scatter_reduce_(0, place, pairs.iou, "amax")
    first = _first_best(place, pairs.box, pairs.iou, best, len(boxes))
    matched[anchor] = _outcome(best, first, fg_iou_thresh, bg_iou_thresh)
    if allow_low_quality:
        best_of_box = boxes.new_zeros(len(boxes)).scatter_reduce_(0, pairs.box, pairs.iou, "amax")
        share = (pairs.iou == best_of_box[pairs.box]) & (pairs.iou > 0)
        chosen = torch.zeros_like(best, dtype=torch.bool).index_fill_(0, place[share], True)
        matched[anchor[chosen]] = first[chosen]
        # Every pair from the background's threshold on is there; below it, a closer box may be missing.
        unsure = chosen & (best < bg_iou_thresh)
        anchor_box = boxes.new_empty(len(anchor), 4).index_copy_(0, place, pairs.anchor_box)
        matched[anchor[unsure]] = _closest_box(anchor_box[unsure], boxes)
    return matched


def match_dense(
    levels: Sequence[AnchorLevel],
    boxes: Tensor,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    low_quality: bool,
) -> Tensor:
    """``match_iou`` with sizes that follow from N and M alone; boxes of zero area are none: [N] int64."""
    anchors = torch.cat([level.boxes for level in levels])
    best, first = anchors.new_full((len(anchors),), -1.0), anchors.new_zeros(len(anchors), dtype=torch.int64)
    chosen = torch.zeros_like(first, dtype=torch.bool)
    at_once = max(1, PAIRS_AT_ONCE // len(anchors))
    for start in range(0, len(boxes), at_once):
        block = boxes[start : start + at_once, None]
        iou = torch.where(box_area(block) > 0, box_iou(anchors, block), -1)  # [m, N]
        reached, box = iou.max(dim=0)
        first = torch.where(reached > best, box + start, first)  # the first of equals stays
        best = torch.maximum(reached, best)
        highest = iou.amax(dim=1, keepdim=True)
        chosen |= ((iou == highest) & (iou > 0)).any(dim=0)
    matched = torch.where(best >= bg_iou_thresh, IGNORE, torch.full_like(first, BACKGROUND))
    matched = torch.where(best >= fg_iou_thresh, first, matched)
    return torch.where(chosen, first, matched) if low_quality else matched


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


def _outcome(best: Tensor, first: Tensor, fg_iou_thresh: float, bg_iou_thresh: float) -> Tensor:
    """Box, IGNORE or BACKGROUND by an anchor's best IoU and the first box that reaches it."""
    first = torch.where(best > 0, first, 0)
    matched = torch.where(best >= bg_iou_thresh, IGNORE, torch.full_like(first, BACKGROUND))
    return torch.where(best >= fg_iou_thresh, first, matched)


def _first_best(place: Tensor, box: Tensor, iou: Tensor, best: Tensor, boxes: int) -> Tensor:
    """Lowest index among the boxes that reach the best IoU at a place."""
    contender = torch.where(iou == best[place], box, boxes)
    return box.new_full(best.shape, boxes).scatter_reduce_(0, place, contender, "amin")


def _closest_box(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Box of highest IoU for each anchor [P, 4], the first of equals; each overlaps a box.

    Anchors that follow one another stand in the same rows of the grid: boxes beside those are left out.
    """
    closest = []
    for part in anchors.split(ROWS_AT_ONCE) if len(anchors) else ():
        left, top = part[:, :2].amin(dim=0)
        right, bottom = part[:, 2:].amax(dim=0)
        inside = (boxes[:, 0] < right) & (boxes[:, 1] < bottom) & (boxes[:, 2] > left) & (boxes[:, 3] > top)
        near = torch.nonzero(inside).squeeze(1)
        closest.append(near[box_iou(part[:, None], boxes[near][None]).argmax(dim=1)])
    return torch.cat(closest) if closest else anchors.new_zeros(0, dtype=torch.int64)
