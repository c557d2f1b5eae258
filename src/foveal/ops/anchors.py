"""Anchors: reference boxes of every cell of every pyramid level (paper, section 4, "Anchors")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.types import AnchorLevel


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Anchors of one cell around the origin: [A, 4] xyxy, A = ratios x sizes, all sizes of a ratio together.

    sizes: side lengths in pixels, the square root of an anchor's area; exact, never rounded.
    aspect_ratios: height / width. ValueError where a value is not positive.
    """
    size = torch.tensor(list(sizes), dtype=torch.float64)
    ratio = torch.tensor(list(aspect_ratios), dtype=torch.float64)
    numbers = torch.cat([size, ratio])
    if not len(size) or not len(ratio) or not ((numbers > 0) & numbers.isfinite()).all():
        raise ValueError(f"anchor sizes and ratios must be positive: {list(sizes)}, {list(aspect_ratios)}")
    width = size[None, :] / ratio[:, None].sqrt()  # w = sqrt(area / ratio)
    height = width * ratio[:, None]
    half = torch.stack([width, height], dim=-1).reshape(-1, 2) / 2
    return torch.cat([-half, half], dim=1).float()


def grid_anchors(cell: Tensor, stride: int, height: int, width: int, offset: float = 0.5) -> AnchorLevel:
    """Anchors of one level: the cell's anchors at the centre of each of height x width cells.

    cell: [A, 4] from ``cell_anchors``. offset: 0.5 centres them in the cell, 0 puts them at its corner.
    """
    x = (torch.arange(width, device=cell.device, dtype=cell.dtype) + offset) * stride
    y = (torch.arange(height, device=cell.device, dtype=cell.dtype) + offset) * stride
    shift_y, shift_x = torch.meshgrid(y, x, indexing="ij")
    shift = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=-1)  # [H, W, 4]
    boxes = (shift[:, :, None, :] + cell).reshape(-1, 4)
    return AnchorLevel(boxes, cell, stride, height, width, offset)
