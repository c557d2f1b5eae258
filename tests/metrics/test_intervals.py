"""Intervals of a difference between two models on the same pictures."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.intervals import metric_intervals, paired_difference
from foveal.types import Array, ClassNames, GroundTruth

PICTURES = 12
BOXES = 2


def make_truth(boxes: int = BOXES) -> GroundTruth:
    """Pictures of ids 30, 29, ... with large boxes of two classes."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 300, (PICTURES * boxes, 2))
    full = np.concatenate([corners, corners + rng.uniform(40, 200, corners.shape)], axis=1)
    return GroundTruth(
        np.arange(30, 30 - PICTURES, -1),
        np.full(PICTURES, 600),
        np.full(PICTURES, 600),
        np.arange(PICTURES + 1) * boxes,
        full,
        np.arange(len(full)) % 2,
        np.zeros(len(full), dtype=bool),
        (full[:, 2:] - full[:, :2]).prod(axis=1),
        ClassNames(("cat", "dog"), (1, 2)),
    )


def found_with(truth: GroundTruth, noise: Array | float) -> DetectionColumns:
    """Every box found, its corners off by a share of its size."""
    size = np.tile(truth.boxes[:, 2:] - truth.boxes[:, :2], 2)
    boxes = truth.boxes + np.random.default_rng(1).uniform(-1, 1, truth.boxes.shape) * size * noise
    ids = np.repeat(truth.image_ids, np.diff(truth.offsets))
    scores = np.random.default_rng(2).uniform(0.5, 1, len(ids))
    return DetectionColumns(ids, boxes, scores, truth.labels, truth.image_ids)


def average_precision(truth: GroundTruth, found: DetectionColumns) -> float | None:
    evaluator = CocoEvaluator(truth)
    evaluator.merge([found])
    return evaluator.compute()["AP"]


def test_the_value_is_the_difference_on_the_pictures_themselves() -> None:
    truth = make_truth()
    first, second = found_with(truth, 0.05), found_with(truth, 0.2)
    interval = paired_difference(truth, first, second, samples=40)
    before, after = average_precision(truth, first), average_precision(truth, second)
    assert before is not None
    assert after is not None
    assert interval.value == pytest.approx(after - before, abs=1e-12)
    assert interval.low <= interval.value <= interval.high < 0


def test_the_same_detections_differ_by_nothing() -> None:
    """Whatever the draw: both sides are given the same pictures."""
    truth = make_truth()
    found = found_with(truth, 0.15)
    assert paired_difference(truth, found, found, samples=10) == (0.0, 0.0, 0.0)


def test_the_order_of_the_detections_does_not_matter() -> None:
    truth = make_truth()
    first, second = found_with(truth, 0.05), found_with(truth, 0.2)
    order = np.random.default_rng(3).permutation(len(second.scores))
    mixed = DetectionColumns(*(column[order] for column in second[:4]), second.pictures)
    assert paired_difference(truth, first, mixed, samples=10) == paired_difference(
        truth, first, second, samples=10
    )


def test_one_odd_picture_widens_the_interval() -> None:
    """It is drawn once, twice or not at all: no single figure is sure."""
    truth = make_truth()
    off = np.zeros((PICTURES * BOXES, 1))
    off[:BOXES] = 2.0
    interval = paired_difference(truth, found_with(truth, 0.0), found_with(truth, off), samples=60)
    assert interval.low < interval.value < interval.high
    assert interval.high == pytest.approx(0, abs=1e-9)


def test_nothing_to_find() -> None:
    truth = make_truth(boxes=0)
    nothing = DetectionColumns(
        np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), truth.image_ids
    )
    with pytest.raises(ValueError, match="no box to find"):
        paired_difference(truth, nothing, nothing)


def test_draws_of_two_models_give_their_paired_difference() -> None:
    truth = make_truth()
    first, second = found_with(truth, 0.05), found_with(truth, 0.2)
    sides = [metric_intervals(truth, found, samples=40).draws for found in (first, second)]
    interval = paired_difference(truth, first, second, samples=40)
    assert np.quantile(sides[1] - sides[0], (0.025, 0.975)) == pytest.approx((interval.low, interval.high))
