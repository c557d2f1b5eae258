"""Matching once: the evaluator's AP, pycocotools' overlaps, and draws of pictures without the evaluator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import to_xywh
from foveal.metrics.intervals import metric_intervals, metric_on, paired_difference
from foveal.metrics.matching import COCO_THRESHOLDS, NONE, box_overlaps, match_detections
from foveal.metrics.resampling import class_precision, draw_weights, over_classes

SIDE = st.integers(0, 30)
BOX = st.tuples(SIDE, SIDE, SIDE, SIDE).map(lambda s: [s[0], s[1], s[0] + s[2], s[1] + s[3]])


@settings(deadline=None, max_examples=60)
@given(st.lists(BOX, min_size=1, max_size=4), st.lists(BOX, min_size=1, max_size=4), st.booleans())
def test_overlaps_are_those_of_pycocotools(first: list[Any], second: list[Any], crowd: bool) -> None:
    ours = box_overlaps(np.array(first, float), np.array(second, float), np.full(len(second), crowd))
    its = mask.iou(to_xywh(np.array(first)), to_xywh(np.array(second)), [int(crowd)] * len(second))
    assert np.array_equal(ours, np.nan_to_num(its))


def evaluated(truth: Any, found: Any) -> CocoEvaluator:
    evaluator = CocoEvaluator(truth)
    evaluator.merge([found])
    return evaluator


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_the_evaluators(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed, crowd=0.2)
    matching = match_detections(truth, found, COCO_THRESHOLDS)
    once = np.ones((1, len(truth.image_ids)), dtype=np.int64)
    rows = evaluated(truth, found).per_class()
    tables = np.stack([class_precision(matching, label, once)[0] for label in range(3)])
    assert tables[:2].mean(axis=1) == pytest.approx([row.AP for row in rows[:2]], abs=1e-12)
    assert tables[:2, 0] == pytest.approx([row.AP50 for row in rows[:2]], abs=1e-12)
    assert np.isnan(tables[2]).all()
    assert matching.positives.sum(axis=0).tolist() == [row.boxes for row in rows]


def test_each_box_is_found_once_and_scores_fall(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(4)
    matching = match_detections(truth, found, COCO_THRESHOLDS)
    assert (np.diff(matching.scores) <= 0).all()
    for row in matching.found:
        assert len(np.unique(row[row != NONE])) == (row != NONE).sum()
    assert not (matching.ignored & (matching.found != NONE)).any()
    assert (found.labels[matching.rows] == matching.labels).all()


def test_no_more_than_the_limit_per_picture_and_class(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(5)
    matching = match_detections(truth, found, max_detections=1)
    keys = matching.pictures * 3 + matching.labels
    assert len(np.unique(keys)) == len(keys) < len(found.scores)
    assert (matching.ranks == 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_draws_are_those_of_the_evaluator(make_case: Callable[..., Any], seed: int) -> None:
    """The fast way, from one matching, is the evaluator on the pictures that were drawn."""
    truth, found = make_case(seed, crowd=0.2)
    weights = draw_weights(len(truth.image_ids), 12, seed)
    assert (weights.sum(axis=1) == len(truth.image_ids)).all()
    for thresholds, metric in ((COCO_THRESHOLDS, "AP"), (COCO_THRESHOLDS[:1], "AP50")):
        matching = match_detections(truth, found, thresholds)
        fast = over_classes(np.stack([class_precision(matching, label, weights) for label in range(3)]))
        places = [np.repeat(np.arange(len(row)), row) for row in weights]
        slow = [metric_on(truth, found, metric, place) for place in places]
        assert fast == pytest.approx([np.nan if v is None else v for v in slow], abs=1e-12, nan_ok=True)


def test_intervals_hold_the_values_of_the_evaluator(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(1, pictures=20)
    result = metric_intervals(truth, found, samples=100)
    evaluator = evaluated(truth, found)
    metrics = evaluator.compute()
    assert result.pictures == 20
    for interval, value in ((result.AP, metrics["AP"]), (result.AP50, metrics["AP50"])):
        assert interval is not None
        assert interval.value == pytest.approx(value, abs=1e-12)
        assert interval.low < interval.value < interval.high
    for interval, row in zip(result.per_class[:2], evaluator.per_class(), strict=False):
        assert interval is not None
        assert interval.value == pytest.approx(row.AP, abs=1e-12)
    assert result.per_class[2] is None
    again = metric_intervals(truth, found, samples=100)
    np.testing.assert_array_equal(again.draws, result.draws, "the same pictures are drawn")
    assert again.per_class == result.per_class


def test_one_picture_has_no_width(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(2, pictures=1, crowd=0.0)
    assert len(truth.labels)
    interval = metric_intervals(truth, found, samples=5).AP
    assert interval is not None
    assert interval.low == interval.high == pytest.approx(interval.value)


def test_nothing_to_find_or_nothing_found(
    make_case: Callable[..., Any], without_boxes: Callable[..., Any], nothing_found: Callable[..., Any]
) -> None:
    truth, found = make_case(3)
    empty = metric_intervals(without_boxes(truth), found, samples=5)
    assert (empty.AP, empty.AP50, empty.per_class) == (None, None, [None, None, None])
    assert metric_intervals(truth, nothing_found(truth), samples=5).AP == (0.0, 0.0, 0.0)


def test_metrics_without_the_fast_way_are_evaluated_anew(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(6, pictures=10)
    worse = found._replace(boxes=found.boxes + 6)
    recall = paired_difference(truth, worse, found, "AR100", samples=5)
    values = [evaluated(truth, side).compute()["AR100"] for side in (worse, found)]
    assert recall.value == pytest.approx(values[1] - values[0])
    assert recall.low <= recall.high


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_by_size_is_the_evaluators(make_case: Callable[..., Any], seed: int) -> None:
    """Boxes of other sizes, and detections of other sizes that find nothing, count neither way; nor do crowds."""
    truth, found = make_case(seed, pictures=12, crowd=0.25)
    # As masks are, areas are smaller than the boxes: which size a box has goes by the file's area.
    truth = truth._replace(area=truth.area * 0.7)
    result = metric_intervals(truth, found, samples=20)
    metrics = evaluated(truth, found).compute()
    for metric in ("APs", "APm", "APl"):
        interval = getattr(result, metric)
        assert (None if interval is None else interval.value) == (
            None if metrics[metric] is None else pytest.approx(metrics[metric], abs=1e-12)
        ), metric
    places = [np.repeat(np.arange(len(row)), row) for row in draw_weights(12, 20)]
    slow = [metric_on(truth, found, "APs", place) for place in places]
    value, (high, low) = metrics["APs"], np.quantile([one for one in slow if one is not None], (0.025, 0.975))
    assert value is not None
    expected = value, min(value, max(0, 2 * value - low)), max(value, min(1, 2 * value - high))
    assert result.APs == pytest.approx(expected)


def test_intervals_hold_the_truth_about_as_often_as_they_say(make_case: Callable[..., Any]) -> None:
    """A population's AP, from 16 pictures each; percentiles, which count the small set's bias twice, hold less."""
    truth, found = make_case(9, pictures=400, crowd=0.0)
    population = evaluated(truth, found).compute()["AP"]
    assert population is not None
    held = percentiles = 0
    rng = np.random.default_rng(0)
    for _ in range(40):
        places = rng.choice(400, 16, replace=False)
        rows = np.concatenate([np.arange(truth.offsets[p], truth.offsets[p + 1]) for p in places])
        offsets = np.concatenate([[0], np.cumsum(np.diff(truth.offsets)[places])])
        part = truth._replace(
            image_ids=truth.image_ids[places], heights=truth.heights[places], widths=truth.widths[places],
            offsets=offsets, boxes=truth.boxes[rows], labels=truth.labels[rows], crowd=truth.crowd[rows],
            area=truth.area[rows],
        )  # fmt: skip
        mine = np.isin(found.image_ids, part.image_ids)
        some = found._replace(
            image_ids=found.image_ids[mine], boxes=found.boxes[mine], scores=found.scores[mine],
            labels=found.labels[mine], pictures=part.image_ids,
        )  # fmt: skip
        result = metric_intervals(part, some, samples=60)
        assert result.AP is not None
        held += result.AP.low <= population <= result.AP.high
        low, high = np.quantile(result.draws, (0.025, 0.975))
        percentiles += low <= population <= high
    assert held > percentiles
    assert held >= 30
