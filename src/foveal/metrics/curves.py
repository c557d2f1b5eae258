"""Precision, recall and F1 of one class at every threshold, at one IoU."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.matching import NONE, Matching
from foveal.types import Array

POINTS = 101
"""Points of a curve that is written to a file or drawn."""


class ClassCurve(NamedTuple):
    """One class: what is kept when scores from ``thresholds[i]`` on count; one point per distinct score."""

    thresholds: Array
    """[Q] float64, descending: the scores themselves, the last to be kept."""
    precision: Array
    recall: Array
    """[Q]; 0 for a class without a box."""
    f1: Array
    """[Q] 2 tp / (2 tp + fp + fn)."""
    positives: int


def class_curve(matching: Matching, label: int, threshold: int = 0) -> ClassCurve:
    """The curve of one class; threshold: which of the matching's IoU thresholds, by its place."""
    mine = matching.of_class(label)
    mine = mine[~matching.ignored[threshold, mine]]
    scores = matching.scores[mine]
    # Equal scores stand or fall together.
    ends = np.flatnonzero(np.append(scores[:-1] > scores[1:], True)) if len(scores) else np.zeros(0, int)
    correct = np.cumsum(matching.found[threshold, mine] != NONE)[ends]
    positives = int(matching.positives[:, label].sum())
    kept = ends + 1
    return ClassCurve(
        scores[ends],
        correct / kept,
        correct / max(positives, 1),
        2 * correct / (kept + positives),
        positives,
    )


def thinned(curve: ClassCurve, points: int = POINTS) -> ClassCurve:
    """At most ``points`` points, evenly spread over the curve, with its first, its last and the best F1."""
    count = len(curve.thresholds)
    if count <= points:
        return curve
    places = np.unique(np.round(np.linspace(0, count - 1, points)).astype(int))
    best = int(np.argmax(curve.f1))
    inner = places[1:-1]
    inner[np.abs(inner - best).argmin()] = best if 0 < best < count - 1 else inner[0]
    places = np.unique(np.concatenate([places[:1], inner, places[-1:]]))
    thresholds, precision, recall, f1 = (column[places] for column in curve[:4])
    return ClassCurve(thresholds, precision, recall, f1, curve.positives)
