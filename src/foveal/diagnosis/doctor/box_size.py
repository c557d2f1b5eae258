"""Rules on a box's own size: huge, tiny, thin, at the edge; and on the stated areas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.part import Hit, Part, box_spot
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many
from foveal.types import Array

HUGE_SHARE = 0.95
TINY_SIDE = 3.0
"""Pixels at training size: under two cells of the finest usual grid nothing is left to see."""
TINY_SHARE = 1e-4
"""Of the area of the picture, or of its tile: 5 x 5 px in 500 x 500."""
THIN = 15.0
EDGE = 1.0
"""Pixels from the picture's edge at which a box ends at it."""


def box_sizes(part: Part, canvas: tuple[int, int], tile: tuple[int, int] | None = None) -> Iterator[Hit]:
    """canvas: (height, width) that pictures, or their tiles, are letterboxed onto in training.

    tile: (height, width) of the tiles that larger pictures are cut into.
    """
    sides, pictures = part.sides, part.box_picture_size
    if not len(sides):
        return
    real = ~part.records.crowd
    share = sides.prod(1) / pictures.prod(1)
    seen = pictures if tile is None else np.minimum(pictures, tile[::-1])
    zoom = np.minimum(canvas[1] / seen[:, 0], canvas[0] / seen[:, 1])
    shorter = sides.min(1) * zoom
    share_seen = sides.prod(1) / seen.prod(1)
    ratio = sides.max(1) / sides.min(1)
    for row in np.flatnonzero(real & (share > HUGE_SHARE)).tolist():
        what = f"{part.class_name(row)!r} covers {share[row]:.1%} of its picture"
        yield _hit("huge_box", part, row, what)
    for row in np.flatnonzero(real & ((shorter < TINY_SIDE) | (share_seen < TINY_SHARE))).tolist():
        width, height = sides[row]
        what = f"{part.class_name(row)!r} is {width:.4g} x {height:.4g} px, {shorter[row]:.3g} px at training size"
        yield _hit("tiny_box", part, row, what)
    for row in np.flatnonzero(real & (ratio > THIN)).tolist():
        width, height = sides[row]
        what = f"{part.class_name(row)!r} is {width:.4g} x {height:.4g} px: {ratio[row]:.3g} to 1"
        yield _hit("thin_box", part, row, what)
    yield from _edges(part, real)
    yield from _areas(part, real)


def _hit(rule: str, part: Part, row: int, message: str) -> Hit:
    return Hit(finding(rule, part.place(row), message), part.name, box_spot(part, row))


def _edges(part: Part, real: Array) -> Iterator[Hit]:
    boxes, pictures = part.records.boxes, part.box_picture_size
    touching = (boxes[:, :2] < EDGE).any(1) | (boxes[:, 2:] > pictures - EDGE).any(1)
    count = int((touching & real).sum())
    if count:
        share = f"{count} of {many(int(real.sum()), 'box', 'boxes')} ({count / real.sum():.1%})"
        yield Hit(finding("at_edge", part.name, f"{share}, within 1 px of the edge"), part.name)


def _areas(part: Part, real: Array) -> Iterator[Hit]:
    product = part.sides.prod(1)
    differs = real & (np.abs(part.records.area - product) > 0.02 * product + 1)
    count = int(differs.sum())
    if count:
        text = f"{count} of {many(int(real.sum()), 'area')} in the file"
        yield Hit(finding("mask_area", part.name, text), part.name)
