"""Which score to act on: for each class the threshold of the best F1."""

from __future__ import annotations

import math

import numpy as np

from foveal.metrics.average_precision import match_class
from foveal.metrics.columns import DetectionColumns
from foveal.types import GroundTruth

DECIMALS = 4


def best_f1_thresholds(
    ground_truth: GroundTruth, detections: DetectionColumns, iou_threshold: float = 0.5
) -> dict[str, float]:
    """Threshold by class name at which F1 = 2 tp / (2 tp + fp + fn) is highest; scores above it count.

    It lies between two neighbouring scores, so that rounding cannot move a detection across it. A class
    without a correct detection is left out: there is nothing to choose by.
    """
    thresholds = {}
    for label, name in enumerate(ground_truth.classes.names):
        matches = match_class(ground_truth, detections, label, iou_threshold)
        correct = np.cumsum(matches.correct)
        if not len(correct) or correct[-1] == 0:
            continue
        # Kept detections + boxes = 2 tp + fp + fn. Equal scores stand or fall together.
        f1 = 2 * correct / (np.arange(1, len(correct) + 1) + matches.positives)
        ends = np.append(matches.scores[:-1] > matches.scores[1:], True)
        best = int(np.argmax(np.where(ends, f1, -1)))
        below = matches.scores[best + 1] if best + 1 < len(matches.scores) else 0.0
        thresholds[name] = _between(float(below), float(matches.scores[best]))
    return thresholds


def _between(low: float, high: float) -> float:
    """The middle, rounded where rounding keeps it between the two."""
    middle = (low + high) / 2
    rounded = math.floor(middle * 10**DECIMALS) / 10**DECIMALS
    return rounded if low <= rounded < high else middle
