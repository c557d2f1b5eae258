"""Where the name tags of boxes go: at their box, inside the picture, off each other where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveal.types import Array

MOST_COVERED = 0.2
"""A tag with a greater share than this under others would be hard to read, and so would they: it is left out."""
_ORDER_COST = 0.01
"""Each step down in preference, as a share of the tag covered."""
_BOX_COST = 0.1
"""Hiding what is in a box, as a share of the box: dear for small ones, nothing for large ones."""


def place_tags(
    boxes: Array, sizes: Sequence[tuple[int, int]], height: int, width: int, line: int
) -> list[tuple[int, int] | None]:
    """Left and top of each box's tag; None where even the best place is mostly under other tags.

    boxes: [D, 4] xyxy in pixels; sizes: tag (width, height) of each; line: width of the box lines. Earlier
    boxes choose first. A tag tries to sit on top of its box, then inside, below, and at the other corners;
    it takes the first place that is free, or the one that covers least.
    """
    taken = np.zeros((0, 4))
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 1, None), axis=1)
    places: list[tuple[int, int] | None] = []
    for box, (tag_width, tag_height) in zip(boxes, sizes, strict=True):
        spots = _spots(box, tag_width, tag_height, height, width, line)
        rows = np.concatenate([spots, spots + [tag_width, tag_height]], axis=1)
        covered = _overlap(rows, taken) / (tag_width * tag_height)
        hidden = _overlap(rows, boxes, 1 / area)
        best = int(np.argmin(covered + _BOX_COST * hidden + _ORDER_COST * np.arange(len(rows))))
        if covered[best] > MOST_COVERED:
            places.append(None)
            continue
        places.append((int(spots[best, 0]), int(spots[best, 1])))
        taken = np.concatenate([taken, rows[best : best + 1]])
    return places


def _spots(box: Array, tag_width: int, tag_height: int, height: int, width: int, line: int) -> Array:
    """Candidate places in order of preference, [S, 2] whole pixels, moved into the picture."""
    x1, y1, x2, y2 = box
    left, right = x1 - line / 2, x2 + line / 2 - tag_width
    above, below = y1 - line / 2 - tag_height, y2 + line / 2
    top, bottom = y1 - line / 2, y2 + line / 2 - tag_height
    corners = [(left, above), (left, top), (left, below), (right, above), (right, top), (right, below)]
    corners += [(left, bottom), (right, bottom), (left - tag_width, top), (x2 + line / 2, top)]
    if above < 0:  # On top there is no room: the inside is where a reader looks next.
        corners = [corners[1], *corners[2:], corners[0]]
    spots = np.round(np.array(corners))
    limit = np.array([max(0, width - tag_width), max(0, height - tag_height)])
    return np.clip(spots, 0, limit)


def _overlap(first: Array, second: Array, weights: Array | float = 1.0) -> Array:
    """Area of each first box that lies under the second ones, whose shares are weighted, [S]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray((np.prod(np.clip(high - low, 0, None), axis=2) * weights).sum(axis=1))
