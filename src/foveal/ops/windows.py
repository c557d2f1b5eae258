"""Which (anchor, box) pairs can overlap enough: found from the grid, without the N x M matrix.

An anchor (w_a, h_a) and a box (w_g, h_g) reach IoU T only if their intersection is at least
I = T / (1 + T) (w_a h_a + w_g h_g). The intersection's height is at most min(h_a, h_g), so its width must
be at least I / min(h_a, h_g), and the centres can be at most (w_a + w_g) / 2 minus that apart; likewise in
y. For each anchor shape and box this bounds a rectangle of cells; only pairs inside it are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.ops.iou import box_area, box_iou
from foveal.types import AnchorLevel

SLACK = 1e-3
"""Widening of a window, in cells and as a share of T, so that rounding can never lose a pair."""


class Pairs(NamedTuple):
    """Pairs worth looking at: every pair left out has an IoU below its box's floor."""

    anchor: Tensor
    """[P] index over all levels' anchors."""
    box: Tensor
    """[P] index of the box."""
    iou: Tensor
    """[P]."""
    anchor_box: Tensor
    """[P, 4] xyxy."""


class _Shapes(NamedTuple):
    """One row per (level, anchor of the cell); R rows in all."""

    cell: Tensor  # [R, 4]
    centre: Tensor  # [R, 2] of the cell's anchor
    step: Tensor  # [R, 2] pixels from cell to cell in x and y
    offset: Tensor  # [R, 1]
    limit: Tensor  # [R, 2] last column and row of the grid
    width: Tensor  # [R] columns of the grid
    per_cell: Tensor  # [R] anchors per cell
    first: Tensor  # [R] index of the row's anchor in cell (0, 0)


def _shapes(levels: Sequence[AnchorLevel]) -> _Shapes:
    rows: list[tuple[int, ...]] = []
    offsets: list[float] = []
    start = 0
    for level in levels:
        count = len(level.cell)
        step_y, step_x = level.step
        facts = (step_x, step_y, level.width - 1, level.height - 1, level.width, count)
        rows += [(*facts, start + anchor) for anchor in range(count)]
        offsets += [level.offset] * count
        start += len(level.boxes)
    cell = torch.cat([level.cell for level in levels])
    ints = torch.tensor(rows, device=cell.device)
    floats = ints.to(cell.dtype)
    offset = cell.new_tensor(offsets)[:, None]
    centre = (cell[:, :2] + cell[:, 2:]) / 2
    return _Shapes(cell, centre, floats[:, :2], offset, floats[:, 2:4], ints[:, 4], ints[:, 5], ints[:, 6])


def nearest_cell_iou(levels: Sequence[AnchorLevel], boxes: Tensor) -> Tensor:
    """[M] best IoU of each box with the anchors of its nearest cells: a lower bound of its best IoU."""
    shapes = _shapes(levels)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = (centre[None] - shapes.centre[:, None]) / shapes.step[:, None] - shapes.offset[:, None]
    cells = torch.minimum(steps.round().clamp(min=0), shapes.limit[:, None])  # [R, M, 2] x, y
    shift = (cells + shapes.offset[:, None]) * shapes.step[:, None]
    anchors = shapes.cell[:, None] + shift.repeat(1, 1, 2)
    return box_iou(anchors, boxes[None]).amax(dim=0)


def pairs_above(levels: Sequence[AnchorLevel], boxes: Tensor, floor: Tensor) -> Pairs:
    """Every (anchor, box) pair whose IoU reaches the box's floor, and a few more at the windows' rims.

    boxes: [M, 4] xyxy; floor: [M] IoU in [0, 1]. Memory is in proportion to the pairs returned.
    """
    shapes = _shapes(levels)
    count, begin = _cell_windows(shapes, boxes, floor)
    columns, total = count[..., 0].flatten(), count.prod(dim=-1).flatten()  # [R * M]
    window = torch.repeat_interleave(total)  # [P] which (row, box)
    within = torch.arange(len(window), device=boxes.device) - (total.cumsum(0) - total)[window]
    row, box = window // len(boxes), window % len(boxes)
    columns = columns[window]
    cell = begin.flatten(0, 1)[window]  # [P, 2] x, y
    cell = cell + torch.stack([within % columns, within // columns], dim=1)
    anchor = (cell[:, 1] * shapes.width[row] + cell[:, 0]) * shapes.per_cell[row] + shapes.first[row]
    # In the arithmetic of grid_anchors, so that a pair's IoU is that of the dense matrix.
    shift = (cell.to(boxes.dtype) + shapes.offset[row]) * shapes.step[row]
    anchor_box = shift.repeat(1, 2) + shapes.cell[row]
    return Pairs(anchor, box, box_iou(anchor_box, boxes[box]), anchor_box)


def _cell_windows(shapes: _Shapes, boxes: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Number of columns and rows [R, M, 2] and the first of each [R, M, 2], int64."""
    anchor_side = shapes.cell[:, 2:] - shapes.cell[:, :2]  # [R, 2]
    box_side = boxes[:, 2:] - boxes[:, :2]
    floor = floor * (1 - SLACK)
    need = (floor / (1 + floor)) * (box_area(shapes.cell)[:, None] + box_area(boxes))  # [R, M]
    shorter = torch.minimum(anchor_side[:, None], box_side)  # [R, M, 2]
    reachable = shorter.prod(dim=-1) >= need
    tiny = torch.finfo(boxes.dtype).tiny
    # The overlap needed in x is the area over the shorter height, and the other way round.
    reach = (anchor_side[:, None] + box_side) / 2 - need[..., None] / shorter.flip(-1).clamp(min=tiny)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - shapes.centre[:, None]
    step, offset = shapes.step[:, None], shapes.offset[:, None]
    first = ((centre - reach) / step - offset - SLACK).ceil().clamp(min=0)
    last = torch.minimum(((centre + reach) / step - offset + SLACK).floor(), shapes.limit[:, None])
    count = (last - first + 1).clamp(min=0) * reachable[..., None]
    return count.long(), first.long()
