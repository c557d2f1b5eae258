"""Which score to act on: for each class the threshold of the best F1, or of a precision that is asked for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foveal.errors import UsageError
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.curves import ClassCurve, class_curve
from foveal.metrics.matching import Matching, match_detections
from foveal.types import GroundTruth

DECIMALS = 4
NEVER = 1.0
"""Threshold of a class that does not reach the precision asked for: no score is above it."""


class ThresholdRule(NamedTuple):
    """How thresholds are chosen."""

    precision: float | None = None
    """The least precision, in (0, 1]; None: the best F1."""

    def __str__(self) -> str:
        return "f1" if self.precision is None else f"precision={self.precision:g}"


class Thresholds(NamedTuple):
    """A threshold per class name; scores above it count."""

    values: dict[str, float]
    """A class that there is nothing to choose by (no detection; with f1: none that is right) is left out."""
    unreached: dict[str, float]
    """Classes that never reach the precision asked for, with the best that they do; theirs is ``NEVER``."""


def parse_rule(text: str) -> ThresholdRule:
    """``f1`` or ``precision=0.9``. UsageError for anything else."""
    if text == "f1":
        return ThresholdRule()
    name, _, number = text.partition("=")
    try:
        precision = float(number)
    except ValueError:
        precision = math.nan
    if name != "precision" or not 0 < precision <= 1:
        raise UsageError(f"thresholds {text!r}: take f1, or precision=0.9 (a number over 0, up to 1)")
    return ThresholdRule(precision)


def choose_thresholds(matching: Matching, names: tuple[str, ...], rule: ThresholdRule) -> Thresholds:
    """The threshold of each class by the rule.

    f1: where F1 = 2 tp / (2 tp + fp + fn) is highest. precision: the lowest at which the detections above it are
    right that often, which is where recall is highest. A threshold lies between two neighbouring scores, so that
    rounding cannot move a detection across it.
    """
    values, unreached = {}, {}
    for label, name in enumerate(names):
        curve = class_curve(matching, label)
        if not len(curve.thresholds) or (rule.precision is None and curve.f1.max() == 0):
            continue
        if rule.precision is None:
            values[name] = _above(curve, int(np.argmax(curve.f1)))
        elif curve.precision.max() >= rule.precision:
            values[name] = _above(curve, int(np.flatnonzero(curve.precision >= rule.precision)[-1]))
        else:
            values[name] = NEVER
            unreached[name] = float(curve.precision.max())
    return Thresholds(values, unreached)


def best_f1_thresholds(
    ground_truth: GroundTruth, detections: DetectionColumns, iou_threshold: float = 0.5
) -> dict[str, float]:
    """``choose_thresholds`` by F1, of a whole set of detections."""
    matching = match_detections(ground_truth, detections, (iou_threshold,))
    return choose_thresholds(matching, ground_truth.classes.names, ThresholdRule()).values


def _above(curve: ClassCurve, last: int) -> float:
    """A threshold that keeps the points up to ``last`` and nothing after it."""
    below = curve.thresholds[last + 1] if last + 1 < len(curve.thresholds) else 0.0
    return _between(float(below), float(curve.thresholds[last]))


def _between(low: float, high: float) -> float:
    """The middle, rounded where rounding keeps it between the two."""
    middle = (low + high) / 2
    rounded = math.floor(middle * 10**DECIMALS) / 10**DECIMALS
    return rounded if low <= rounded < high else middle
