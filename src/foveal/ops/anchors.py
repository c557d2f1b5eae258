"""Anchors: reference boxes of every cell of every pyramid level (paper, section 4, "Anchors").

Implementations agree on the idea and differ in the details; ``AnchorRule`` names every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from foveal.types import AnchorLevel


class AnchorRule(NamedTuple):
    """How anchors follow from sizes and ratios, where implementations differ. The defaults are Foveal's."""

    offset: float = 0.5
    """Place of an anchor's centre in its cell, as a share of the step: 0.5 the middle, 0 the top left corner."""
    order: Literal["ratio_major", "size_major"] = "ratio_major"
    """All sizes of a ratio together (torchvision), or all ratios of a size (detectron2, odtk)."""
    rounding: Literal["none", "whole"] = "none"
    """whole: corners of anchors around the origin rounded to whole pixels, halves to even (torchvision)."""
    corners: Literal["continuous", "inclusive"] = "continuous"
    """inclusive: x2 and y2 are the last pixels inside, so that a width is x2 - x1 + 1 (odtk)."""
    step: Literal["stride", "canvas"] | int = "stride"
    """Pixels from cell to cell: the level's stride; the canvas' side over the cells, rounded down (torchvision,
    unequal to the stride where P6 and P7 do not divide the canvas); a whole number is a canvas side assumed for
    every picture (NetsPresso: 512)."""


def cell_anchors(
    sizes: Sequence[float], aspect_ratios: Sequence[float], rule: AnchorRule | None = None
) -> Tensor:
    """Anchors of one cell around the origin: [A, 4] xyxy, A = ratios x sizes, in the rule's order.

    sizes: side lengths in pixels, the square root of an anchor's area. aspect_ratios: height / width.
    ValueError where a value is not positive.
    """
    rule = rule or AnchorRule()
    size = torch.tensor(list(sizes), dtype=torch.float64)
    ratio = torch.tensor(list(aspect_ratios), dtype=torch.float64)
    numbers = torch.cat([size, ratio])
    if not len(size) or not len(ratio) or not ((numbers > 0) & numbers.isfinite()).all():
        raise ValueError(f"anchor sizes and ratios must be positive: {list(sizes)}, {list(aspect_ratios)}")
    width = size[None, :] / ratio[:, None].sqrt()  # w = sqrt(area / ratio)
    side = torch.stack([width, width * ratio[:, None]], dim=-1)  # [ratios, sizes, 2]
    if rule.order == "size_major":
        side = side.transpose(0, 1)
    half = side.reshape(-1, 2) / 2
    cell = torch.cat([-half, half], dim=1).float()
    if rule.rounding == "whole":
        cell = cell.round()
    if rule.corners == "inclusive":
        cell[:, 2:] += 1
    return cell


def cell_step(
    rule: AnchorRule, stride: int, grid: tuple[int, int], canvas: tuple[int, int]
) -> tuple[int, int]:
    """Pixels from cell to cell of a level, (y, x). grid: its rows and columns; canvas: height and width."""
    if rule.step == "stride":
        return stride, stride
    height, width = canvas if rule.step == "canvas" else (rule.step, rule.step)
    return max(1, height // grid[0]), max(1, width // grid[1])


def grid_anchors(
    cell: Tensor,
    stride: int,
    height: int,
    width: int,
    offset: float = 0.5,
    step: tuple[int, int] | None = None,
) -> AnchorLevel:
    """Anchors of one level: the cell's anchors at each of height x width cells.

    cell: [A, 4] from ``cell_anchors``. offset: as in ``AnchorRule``. step: pixels from cell to cell, (y, x);
    None is the stride.
    """
    step_y, step_x = step or (stride, stride)
    x = (torch.arange(width, device=cell.device, dtype=cell.dtype) + offset) * step_x
    y = (torch.arange(height, device=cell.device, dtype=cell.dtype) + offset) * step_y
    shift_y, shift_x = torch.meshgrid(y, x, indexing="ij")
    shift = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=-1)  # [H, W, 4]
    boxes = (shift[:, :, None, :] + cell).reshape(-1, 4)
    return AnchorLevel(boxes, cell, stride, height, width, offset, (step_y, step_x))
