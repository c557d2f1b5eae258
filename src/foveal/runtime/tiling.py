"""Which tiles a checkpoint's pictures are seen in: those it was trained with, unless the user asks for others."""

from __future__ import annotations

import re
from typing import Any

from foveal.checkpoint.header import CheckpointHeader
from foveal.errors import UsageError
from foveal.ops.tiles import LARGEST_OVERLAP, Tiling

TileSize = int | tuple[int, int] | str
"""A side, (height, width), ``"512"``, ``"384x512"`` (height x width), or ``"none"``: whole pictures."""
DEFAULT_OVERLAP = 0.2
SMALLEST, LARGEST = 32, 16384
"""Sides of a tile, as in the configuration."""
_POLICY = "tiles"


def tiling_policy(tiling: Tiling | None) -> dict[str, Any]:
    """What a checkpoint's size policy says of tiles; nothing where pictures are seen whole."""
    return {} if tiling is None else {_POLICY: tiling._asdict()}


def stored_tiling(header: CheckpointHeader) -> Tiling | None:
    """The tiles that a checkpoint was trained with; None: whole pictures."""
    policy = header.size_policy.get(_POLICY)
    return None if policy is None else Tiling(policy["height"], policy["width"], policy["overlap"])


def choose_tiling(
    header: CheckpointHeader, tiles: TileSize | None = None, overlap: float | None = None
) -> Tiling | None:
    """The tiles to detect in; None: whole pictures. What is not given is taken from the checkpoint.

    UsageError for a size or an overlap that cannot be.
    """
    stored = stored_tiling(header)
    if tiles is None:
        chosen = stored
    else:
        size = _parse(tiles)
        chosen = size and Tiling(*size, DEFAULT_OVERLAP if stored is None else stored.overlap)
    if overlap is None:
        return chosen
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise UsageError(f"overlap {overlap:g} of tiles is not allowed; give a share in 0..{LARGEST_OVERLAP}")
    if chosen is None:
        raise UsageError(
            f"overlap {overlap:g} has no tiles to act on: pictures are seen whole; give a tile size"
        )
    return chosen._replace(overlap=overlap)


def _parse(tiles: TileSize) -> tuple[int, int] | None:
    """(height, width); None where pictures are to be seen whole."""
    if isinstance(tiles, str):
        if tiles.strip().lower() == "none":
            return None
        numbers = re.fullmatch(r"\s*(\d{1,9})(?:\s*x\s*(\d{1,9}))?\s*", tiles)
        if numbers is None:
            raise UsageError(f"tile {tiles!r} is no size; give a side (512), HEIGHTxWIDTH (384x512), or none")
        size = int(numbers[1]), int(numbers[2] or numbers[1])
    else:
        size = (tiles, tiles) if isinstance(tiles, int) else (int(tiles[0]), int(tiles[1]))
    if not all(SMALLEST <= side <= LARGEST for side in size):
        given = f"{size[0]} x {size[1]}"
        raise UsageError(f"a tile of {given} pixels is not allowed; sides are {SMALLEST}..{LARGEST} pixels")
    return size
