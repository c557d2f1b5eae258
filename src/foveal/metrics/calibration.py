"""Whether a score of 0.8 is right 8 times in 10: the reliability table and the expected calibration error.

Guo et al. 2017, eq. 3, with the detection's reading of accuracy: the share of detections that find a box at
IoU 0.5 (the precision of a bin, as in Küppers et al. 2020). Boxes that are never found have no score, and do not
count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.matching import NONE, Matching

BINS = 10


class Bin(NamedTuple):
    """Detections whose score is in (low, high]; the first bin holds 0 too."""

    low: float
    high: float
    detections: int
    score: float | None
    """Mean score; None for an empty bin."""
    correct: float | None
    """Share that finds a box."""


class Reliability(NamedTuple):
    """How far scores are from the share that is right."""

    error: float | None
    """Expected calibration error: the mean of \\|score - correct\\| over the bins, weighted by their counts."""
    bins: list[Bin]


def reliability(matching: Matching, label: int | None = None, bins: int = BINS) -> Reliability:
    """The table of bins of equal width.

    matching: at one IoU threshold; label: the class that counts, default all. Detections on a crowd are left
    out.
    """
    mine = ~matching.ignored[0]
    if label is not None:
        mine &= matching.labels == label
    scores, correct = matching.scores[mine], matching.found[0, mine] != NONE
    places = np.clip(np.ceil(scores * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    score_sums = np.bincount(places, weights=scores, minlength=bins)
    hits = np.bincount(places, weights=correct, minlength=bins)
    rows = [
        Bin(k / bins, (k + 1) / bins, int(n), float(s / n) if n else None, float(h / n) if n else None)
        for k, (n, s, h) in enumerate(zip(counts, score_sums, hits, strict=True))
    ]
    total = int(counts.sum())
    error = float(np.abs(score_sums - hits).sum() / total) if total else None
    return Reliability(error, rows)
