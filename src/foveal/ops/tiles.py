"""Cutting a large picture into overlapping tiles: their windows, and what each of them shows of the boxes.

A tile fills the network's canvas by itself, so that small objects of a large picture keep their pixels. The rule
of the windows is that of the DOTA devkit (ImgSplit.py) and of SAHI (slicing.py): equal steps, and the last row and
column moved inwards. An object no larger than the overlap is whole in at least one tile.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_OVERLAP = 0.9
"""Share from which on a picture gives a hundred times its own pixels, and more."""


class Tiling(NamedTuple):
    """How pictures are cut; ``Tiling(512, 512, 0.2).windows(1371, 2048)``."""

    height: int
    """Height and width of a tile, in the picture's own pixels."""
    width: int
    overlap: float
    """Share of a tile that its neighbour shows, too."""

    def windows(self, height: int, width: int) -> Tensor:
        """[T, 4] int64 xyxy: ``tile_windows`` of a picture."""
        return tile_windows(height, width, (self.height, self.width), self.overlap)


class CutBoxes(NamedTuple):
    """What tiles show of boxes: a row for every box and tile that meet, tile by tile, in the boxes' order."""

    tile: Tensor
    """[n] int64, row of the windows."""
    row: Tensor
    """[n] int64, row of the boxes."""
    boxes: Tensor
    """[n, 4] xyxy in the tile's own pixels, cut at its border."""
    visible: Tensor
    """[n] share of the box's area inside the tile; 1 exactly where it is whole."""


def tile_windows(height: int, width: int, tile: tuple[int, int], overlap: float = 0.2) -> Tensor:
    """Windows [T, 4] int64 xyxy, row by row, that cover a picture; neighbours share ``overlap`` of a tile or more.

    tile: (height, width). A side of the picture that is no longer than the tile's is not cut; otherwise every
    window has the tile's full side. ValueError for sides under 1 pixel or an overlap outside of 0..0.9.
    """
    if min(height, width, *tile) < 1:
        raise ValueError(f"sides must be at least 1 pixel: picture {height} x {width}, tile {tile}")
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise ValueError(f"overlap must be a share in 0..{LARGEST_OVERLAP}, not {overlap}")
    tops, lefts = starts(height, tile[0], overlap), starts(width, tile[1], overlap)
    rows = [
        (left, top, min(left + tile[1], width), min(top + tile[0], height)) for top in tops for left in lefts
    ]
    return torch.tensor(rows, dtype=torch.int64)


def starts(side: int, tile: int, overlap: float) -> list[int]:
    """Where the tiles of one side begin."""
    if side <= tile:
        return [0]
    # Rounded so that the overlap is never less than asked for; the small number is float's rounding error.
    step = max(1, tile - math.ceil(tile * overlap - 1e-9))
    return [*range(0, side - tile, step), side - tile]


def cut_boxes(boxes: Tensor, windows: Tensor) -> CutBoxes:
    """Boxes [M, 4] xyxy in the picture's pixels, of positive area -> what each window [T, 4] shows of them."""
    windows = windows.to(boxes.dtype)
    meet = (boxes[None, :, :2] < windows[:, None, 2:]) & (boxes[None, :, 2:] > windows[:, None, :2])
    tile, row = meet.all(dim=-1).nonzero().unbind(1)
    window, box = windows[tile], boxes[row]
    corners = torch.maximum(box[:, :2], window[:, :2]), torch.minimum(box[:, 2:], window[:, 2:])
    visible = ((corners[1] - corners[0]) / (box[:, 2:] - box[:, :2])).prod(dim=-1)
    return CutBoxes(tile, row, torch.cat(corners, dim=1) - window[:, :2].repeat(1, 2), visible)
