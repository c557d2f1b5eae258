"""How sure a figure is: intervals from pictures drawn again and again (the bootstrap, Efron 1979).

Drawing a picture twice changes no match, only how often its detections count. So the boxes are matched once, and a
draw is a weight per picture; the figures are those of the evaluator on the drawn pictures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.matching import COCO_THRESHOLDS, Matching, match_detections
from foveal.metrics.resampling import class_precision, draw_weights, over_classes
from foveal.types import Array, GroundTruth

SAMPLES = 200


class Interval(NamedTuple):
    """A figure and the range that holds it in 95 of 100 draws."""

    value: float
    low: float
    high: float


class Intervals(NamedTuple):
    """Intervals of the average precision of one model; None where there is no box to find."""

    AP: Interval | None
    AP50: Interval | None
    per_class: list[Interval | None]
    """AP of each class, in model order."""
    samples: int
    pictures: int
    draws: Array
    """[S] AP of every draw; NaN where one has no box to find. Draw s weighs the pictures alike for every model
    measured on them, so that the differences of two models' draws are those of ``paired_difference``."""


def metric_intervals(
    truth: GroundTruth, found: DetectionColumns, samples: int = SAMPLES, seed: int = 0
) -> Intervals:
    """95 % intervals of AP, AP50 and every class's AP, over the pictures.

    Every draw takes as many pictures as there are, some of them several times (the percentile method). A class of
    which a draw holds no box takes no part in that draw's mean, as in COCO.
    """
    matching = match_detections(truth, found, COCO_THRESHOLDS)
    weights = draw_weights(len(truth.image_ids), samples, seed)
    labels = range(len(truth.classes.names))
    tables = np.stack([class_precision(matching, label, weights) for label in labels])
    whole = np.stack([class_precision(matching, label, np.ones_like(weights[:1])) for label in labels])
    draws = over_classes(tables)
    return Intervals(
        _interval(over_classes(whole)[0], draws),
        _interval(over_classes(whole[:, :, :1])[0], over_classes(tables[:, :, :1])),
        [_interval(whole[k].mean(), tables[k].mean(axis=1)) for k in labels],
        samples,
        len(truth.image_ids),
        draws,
    )


def paired_difference(
    truth: GroundTruth,
    first: DetectionColumns,
    second: DetectionColumns,
    metric: str = "AP",
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """``metric`` of ``second`` less that of ``first``, on the same pictures.

    Every draw takes as many pictures as there are, some of them several times, and the same for both sides: that
    a draw's pictures are hard cancels out. metric: one of ``COCO_METRICS``; all but AP, AP50 and AP75 are
    evaluated anew for every draw, which is slow. ValueError where the truth has no box to find.
    """
    pictures = np.arange(len(truth.image_ids))
    before, after = (metric_on(truth, found, metric, pictures) for found in (first, second))
    if before is None or after is None:
        raise ValueError(f"{metric} of nothing: the pictures have no box to find")
    weights = draw_weights(len(pictures), samples, seed)
    sides = [_metric_draws(truth, found, metric, weights) for found in (first, second)]
    interval = _interval(after - before, sides[1] - sides[0])
    assert interval is not None
    return interval


def _metric_draws(truth: GroundTruth, found: DetectionColumns, metric: str, weights: Array) -> Array:
    """The metric on every draw, [S]; NaN where a draw has nothing to find."""
    thresholds = {"AP": COCO_THRESHOLDS, "AP50": COCO_THRESHOLDS[:1], "AP75": COCO_THRESHOLDS[5:6]}
    if metric not in thresholds:
        draws = (np.repeat(np.arange(weights.shape[1]), row) for row in weights)
        values = (metric_on(truth, found, metric, draw) for draw in draws)
        return np.array([np.nan if value is None else value for value in values])
    matching: Matching = match_detections(truth, found, thresholds[metric])
    labels = range(len(truth.classes.names))
    return over_classes(np.stack([class_precision(matching, label, weights) for label in labels]))


def _interval(value: float, draws: Array) -> Interval | None:
    if np.isnan(value):
        return None
    known = draws[~np.isnan(draws)]
    # Boxes in very few pictures: no draw may have held one.
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (value, value)
    return Interval(float(value), float(low), float(high))


def metric_on(truth: GroundTruth, found: DetectionColumns, metric: str, pictures: Array) -> float | None:
    """The metric on some of the pictures, by their places in the truth; each counts as often as it is named."""
    rows = np.concatenate([np.arange(truth.offsets[p], truth.offsets[p + 1]) for p in pictures])
    sizes = (truth.offsets[1:] - truth.offsets[:-1])[pictures]
    ids = np.arange(1, len(pictures) + 1)
    drawn = GroundTruth(
        ids,
        truth.heights[pictures],
        truth.widths[pictures],
        np.concatenate([[0], np.cumsum(sizes)]),
        truth.boxes[rows],
        truth.labels[rows],
        truth.crowd[rows],
        truth.area[rows],
        truth.classes,
    )
    evaluator = CocoEvaluator(drawn)
    order = np.argsort(found.image_ids, kind="stable")
    wanted = truth.image_ids[pictures]
    starts = np.searchsorted(found.image_ids[order], wanted, side="left")
    ends = np.searchsorted(found.image_ids[order], wanted, side="right")
    for image_id, start, end in zip(ids.tolist(), starts, ends, strict=True):
        mine = order[start:end]
        evaluator.add(image_id, found.boxes[mine], found.scores[mine], found.labels[mine])
    return evaluator.compute()[metric]
