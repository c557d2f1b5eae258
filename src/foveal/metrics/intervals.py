"""How sure a figure is: intervals from pictures drawn again and again (the bootstrap, Efron 1979).

Drawing a picture twice changes no match, only how often its detections count. So the boxes are matched once, and a
draw is a weight per picture; the figures are those of the evaluator on the drawn pictures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.matching import AREAS, COCO_THRESHOLDS, Matching, match_detections
from foveal.metrics.resampling import class_precision, draw_weights, over_classes
from foveal.types import Array, GroundTruth

SAMPLES = 200


class Interval(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class Intervals(NamedTuple):
    """Intervals of the average precision of one model; None where there is no box to find."""

    AP: Interval | None
    AP50: Interval | None
    APs: Interval | None
    APm: Interval | None
    APl: Interval | None
    per_class: list[Interval | None]
    """AP of each class, in model order."""
    samples: int
    pictures: int
    draws: Array
    """[S] AP of every draw; NaN where one has no box to find. Draw s weighs the pictures alike for every model
    measured on them, so that the differences of two models' draws are those of ``paired_difference``."""


def metric_intervals(
    truth: GroundTruth,
    found: DetectionColumns,
    samples: int = SAMPLES,
    seed: int = 0,
    matching: Matching | None = None,
) -> Intervals:
    """95 % intervals of AP, AP50, AP by size and every class's AP, over the pictures.

    Every draw takes as many pictures as there are, some of them several times. A class of which a draw holds no
    box takes no part in that draw's mean, as in COCO. The interval is the basic one (Davison and Hinkley 1997,
    section 5.2): what the draws are off the figure, turned about it.
    matching: at ``COCO_THRESHOLDS``, where it has been made already.
    """
    matching = matching or match_detections(truth, found, COCO_THRESHOLDS)
    weights = _whole_and_draws(len(truth.image_ids), samples, seed)
    tables = _class_tables(matching, weights)
    every = over_classes(tables)
    small, medium, large = (
        _interval(_metric_draws(truth, found, metric, weights)) for metric in ("APs", "APm", "APl")
    )
    return Intervals(
        _interval(every),
        _interval(over_classes(tables[:, :, :1])),
        small,
        medium,
        large,
        [_interval(table.mean(axis=1)) for table in tables],
        samples,
        len(truth.image_ids),
        every[1:],
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
    a draw's pictures are hard cancels out, and so does most of their bias: the range is that of 95 of 100 draws
    (percentiles). metric: one of ``COCO_METRICS``; the recalls are evaluated anew for
    every draw, which is slow. ValueError where the truth has no box to find.
    """
    weights = _whole_and_draws(len(truth.image_ids), samples, seed)
    sides = [_metric_draws(truth, found, metric, weights) for found in (first, second)]
    value, *draws = sides[1] - sides[0]
    if np.isnan(value):
        raise ValueError(f"{metric} of nothing: the pictures have no box to find")
    return Interval(float(value), *_range(np.array(draws), value))


_RESAMPLED: dict[str, tuple[Array, str]] = {
    "AP": (COCO_THRESHOLDS, "all"),
    "AP50": (COCO_THRESHOLDS[:1], "all"),
    "AP75": (COCO_THRESHOLDS[5:6], "all"),
    "APs": (COCO_THRESHOLDS, "small"),
    "APm": (COCO_THRESHOLDS, "medium"),
    "APl": (COCO_THRESHOLDS, "large"),
}
"""Thresholds and size of the metrics that one matching gives for every draw."""


def _whole_and_draws(pictures: int, samples: int, seed: int) -> Array:
    """[1 + S, P] weights: every picture once, then the draws."""
    return np.concatenate([np.ones((1, pictures), dtype=np.int64), draw_weights(pictures, samples, seed)])


def _metric_draws(truth: GroundTruth, found: DetectionColumns, metric: str, weights: Array) -> Array:
    """The metric for every row of weights, [S]; NaN where one has nothing to find."""
    if metric in _RESAMPLED:
        thresholds, size = _RESAMPLED[metric]
        matching = match_detections(truth, found, thresholds, area=AREAS.get(size))
        return over_classes(_class_tables(matching, weights))
    draws = (np.repeat(np.arange(len(row)), row) for row in weights)
    values = (metric_on(truth, found, metric, draw) for draw in draws)
    return np.array([np.nan if value is None else value for value in values])


def _class_tables(matching: Matching, weights: Array) -> Array:
    """[K, S, T] average precision."""
    return np.stack([class_precision(matching, k, weights) for k in range(matching.positives.shape[1])])


def _interval(values: Array) -> Interval | None:
    """values: [1 + S], of all pictures, then of the draws; None where all pictures have nothing to find.

    AP of few pictures is too high, and that of pictures drawn from these once more: percentiles would count this
    bias twice. Turned about the value it is taken off; the value itself always stays inside.
    """
    value = float(values[0])
    if np.isnan(value):
        return None
    low, high = _range(values[1:], value)
    return Interval(value, max(0.0, 2 * value - max(high, value)), min(1.0, 2 * value - min(low, value)))


def _range(draws: Array, value: float) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5; the value where no draw has anything to find (boxes in very few pictures)."""
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (value, value)
    return float(low), float(high)


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
