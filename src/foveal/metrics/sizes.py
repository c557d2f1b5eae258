"""Where boxes are found: by their size, and by how many there are in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foveal.metrics.matching import NONE, Matching
from foveal.types import Array, GroundTruth

SIDES = (16, 32, 64, 96, 128, 256, 512)
"""Borders of the size bins: the square root of a box's width times height, in the original picture's pixels."""
CROWDS = (1, 3, 6, 11, 21, 51)
"""Least number of boxes in the picture, of each bin."""


class RecallBin(NamedTuple):
    """Boxes of one bin, and the shares of them that are found at IoU 0.5."""

    low: float
    """The bin holds [low, high)."""
    high: float | None
    """None: without an end."""
    boxes: int
    any_score: float
    """... by a detection of any score."""
    kept: float
    """... by a detection over its class's threshold."""


def recall_by_size(truth: GroundTruth, matching: Matching, kept: Array) -> list[RecallBin]:
    """Recall of the boxes by the bins of ``SIDES``, those without a box left out."""
    sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
    return _bins(truth, matching, kept, np.sqrt(sizes.prod(axis=1)), (0, *SIDES))


def recall_by_crowd(truth: GroundTruth, matching: Matching, kept: Array) -> list[RecallBin]:
    """Recall of the boxes by how many boxes their picture holds, bins of ``CROWDS``, empty ones left out."""
    per_picture = matching.positives.sum(axis=1)
    return _bins(truth, matching, kept, np.repeat(per_picture, np.diff(truth.offsets)), CROWDS)


def _bins(
    truth: GroundTruth, matching: Matching, kept: Array, values: Array, borders: Sequence[float]
) -> list[RecallBin]:
    hits, kept_hits = (_found(truth, matching, which) for which in (np.ones_like(kept), kept))
    rows = []
    for low, high in zip(borders, (*borders[1:], math.inf), strict=True):
        mine = ~truth.crowd & (values >= low) & (values < high)
        if mine.any():
            shares = float(hits[mine].mean()), float(kept_hits[mine].mean())
            rows.append(RecallBin(low, None if math.isinf(high) else high, int(mine.sum()), *shares))
    return rows


def _found(truth: GroundTruth, matching: Matching, which: Array) -> Array:
    """[N] bool: boxes that one of the detections ``which`` finds."""
    found = np.zeros(len(truth.labels), dtype=bool)
    rows = matching.found[0][which]
    found[rows[rows != NONE]] = True
    return found
