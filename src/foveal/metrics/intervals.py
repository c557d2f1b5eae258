"""How sure a figure is: intervals from pictures drawn again and again (the bootstrap, Efron 1979)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.types import Array, GroundTruth

SAMPLES = 200


class Interval(NamedTuple):
    """A figure and the range that holds it in 95 of 100 draws."""

    value: float
    low: float
    high: float


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
    a draw's pictures are hard cancels out. metric: one of ``COCO_METRICS``. ValueError where the truth has no box
    to find.
    """
    pictures = np.arange(len(truth.image_ids))
    value = _difference(truth, first, second, metric, pictures)
    if value is None:
        raise ValueError(f"{metric} of nothing: the pictures have no box to find")
    rng = np.random.default_rng(seed)
    draws = (rng.choice(pictures, len(pictures)) for _ in range(samples))
    found = [_difference(truth, first, second, metric, np.sort(draw)) for draw in draws]
    low, high = np.quantile([d for d in found if d is not None], (0.025, 0.975))
    return Interval(value, float(low), float(high))


def _difference(
    truth: GroundTruth, first: DetectionColumns, second: DetectionColumns, metric: str, pictures: Array
) -> float | None:
    before, after = (_metric(truth, found, metric, pictures) for found in (first, second))
    return None if before is None or after is None else after - before


def _metric(truth: GroundTruth, found: DetectionColumns, metric: str, pictures: Array) -> float | None:
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
