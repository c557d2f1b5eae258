"""The boxes of a data set as training sees them: letterboxed on the canvas, crowds left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.data.records import Records
from foveal.types import Array

MOST_BOXES, MOST_PICTURES = 50_000, 1_000
"""Above these a part of the pictures stands for all: the same part every time."""


class CanvasBoxes(NamedTuple):
    """Boxes that are no crowd, in canvas pixels. Picture i's are rows ``offsets[i]:offsets[i + 1]``."""

    pictures: Array
    """[P] int64 place of each picture in the records, rising."""
    offsets: Array
    """[P + 1] int64."""
    boxes: Array
    """[M, 4] float32 xyxy."""
    labels: Array
    """[M] int64."""
    zoom: Array
    """[P] canvas pixels per stored pixel."""
    all_pictures: int
    """Pictures and boxes (without crowds) of the whole set; more than P and M where a part was taken."""
    all_boxes: int

    @property
    def shapes(self) -> Array:
        """[M, 2] width and height."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @property
    def sides(self) -> Array:
        """[M] square root of the area."""
        return np.asarray(np.sqrt(self.shapes.prod(axis=1)))

    @property
    def owner(self) -> Array:
        """[M] place of each box's picture in ``pictures``."""
        return np.repeat(np.arange(len(self.pictures)), np.diff(self.offsets))

    @property
    def labelled(self) -> int:
        """Pictures that have a box."""
        return int((np.diff(self.offsets) > 0).sum())

    @property
    def sampled(self) -> str:
        """What was left out, in words; empty: no box."""
        if len(self.boxes) == self.all_boxes:
            return ""
        return (
            f"measured on {len(self.boxes):,} boxes of {len(self.pictures):,} pictures, drawn once for all, "
            f"of {self.all_boxes:,} boxes of {self.all_pictures:,} pictures"
        )


def boxes_on_canvas(
    records: Records,
    canvas: tuple[int, int],
    most_boxes: int = MOST_BOXES,
    most_pictures: int = MOST_PICTURES,
) -> CanvasBoxes:
    """canvas: height and width. Pictures without a box stay; memory beyond the records is that of the part taken.

    The scales are those of ``ops.letterbox.fit_letterbox``: one for both sides, then whole pixels.
    """
    solid = np.concatenate(([0], np.cumsum(~records.crowd)))
    counts = np.diff(solid[records.offsets])
    pictures = _part(counts, most_boxes, most_pictures)
    rows = _rows(records.offsets, pictures)
    owner = np.repeat(np.arange(len(pictures)), np.diff(records.offsets)[pictures])
    keep = ~records.crowd[rows]
    rows, owner = rows[keep], owner[keep]
    heights, widths = records.heights[pictures], records.widths[pictures]
    fit = np.minimum(canvas[0] / heights, canvas[1] / widths)
    scale_x = np.maximum(1, np.rint(widths * fit)) / widths
    scale_y = np.maximum(1, np.rint(heights * fit)) / heights
    scales = np.stack([scale_x, scale_y, scale_x, scale_y], axis=1)
    return CanvasBoxes(
        pictures,
        np.concatenate(([0], np.cumsum(counts[pictures]))),
        (records.boxes[rows] * scales[owner]).astype(np.float32),
        records.labels[rows],
        fit,
        len(records),
        int(counts.sum()),
    )


def part_of(found: CanvasBoxes, most_boxes: int, most_pictures: int) -> CanvasBoxes:
    """A smaller part, drawn in the same way, of its pictures that have a box."""
    counts = np.diff(found.offsets)
    places = _part(counts, most_boxes, most_pictures)
    places = places[counts[places] > 0]
    rows = _rows(found.offsets, places)
    return found._replace(
        pictures=found.pictures[places],
        offsets=np.concatenate(([0], np.cumsum(counts[places]))),
        boxes=found.boxes[rows],
        labels=found.labels[rows],
        zoom=found.zoom[places],
    )


def _part(counts: Array, most_boxes: int, most_pictures: int) -> Array:
    """Places of as many pictures, drawn at random with a fixed seed, as stay within both limits.

    Pictures without a box cost nothing, and are drawn beside the others; one with a box is drawn in any case.
    """
    labelled = counts > 0
    if labelled.sum() <= most_pictures and counts.sum() <= most_boxes:
        return np.arange(len(counts))
    order = np.random.default_rng(0).permutation(len(counts))
    boxes, pictures = np.cumsum(counts[order]), np.cumsum(labelled[order])
    inside = (pictures <= most_pictures) & ((boxes <= most_boxes) | (pictures <= 1))
    return np.sort(order[inside])


def _rows(offsets: Array, pictures: Array) -> Array:
    """Box rows of the given pictures, one picture's after the other's."""
    counts = np.diff(offsets)[pictures]
    starts = offsets[pictures] - np.concatenate(([0], np.cumsum(counts)))[:-1]
    rows: Array = np.repeat(starts, counts) + np.arange(counts.sum())
    return rows
