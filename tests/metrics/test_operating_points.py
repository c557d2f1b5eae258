"""Curves, thresholds, confusion, calibration and recall by size, each against a plain count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foveal.errors import UsageError
from foveal.metrics.calibration import reliability
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.confusion import confusion_matrix, kept_by
from foveal.metrics.curves import ClassCurve, class_curve, thinned
from foveal.metrics.matching import NONE, box_overlaps, match_detections
from foveal.metrics.sizes import SIDES, recall_by_crowd, recall_by_size
from foveal.metrics.thresholds import NEVER, ThresholdRule, choose_thresholds, parse_rule
from foveal.types import ClassNames, GroundTruth

SEEDS = pytest.mark.parametrize("seed", range(8))


def one_class(
    correct: list[bool], scores: list[float], missed: int = 0
) -> tuple[GroundTruth, DetectionColumns]:
    """A picture in which each detection hits its own box or nothing."""
    boxes = np.array([[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(len(correct) + missed)]).reshape(-1, 4)
    found = boxes[: len(correct)] + 500 * ~np.array(correct, dtype=bool)[:, None]
    kept = boxes[[*np.flatnonzero(correct), *range(len(correct), len(boxes))]]
    side, count = np.array([2000]), len(kept)
    crowd = np.zeros(count, dtype=bool)
    truth = GroundTruth(
        np.array([1]), side, side, np.array([0, count]), kept, np.zeros(count, int), crowd, np.full(count, 100.0),
        ClassNames(("cat",), (1,)),
    )  # fmt: skip
    ids, labels = np.ones(len(correct), int), np.zeros(len(correct), int)
    return truth, DetectionColumns(ids, found, np.array(scores, float), labels, np.array([1]))


# ---------------------------------------------------------------- curves


@SEEDS
def test_curves_are_counts(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed)
    found = found._replace(scores=np.round(found.scores, 1))  # with ties, which stand or fall together
    matching = match_detections(truth, found)
    for label in range(3):
        curve = class_curve(matching, label)
        mine = (matching.labels == label) & ~matching.ignored[0]
        assert curve.thresholds.tolist() == sorted(set(matching.scores[mine]), reverse=True)
        boxes = int(((truth.labels == label) & ~truth.crowd).sum())
        for limit, precision, recall, f1 in zip(*curve[:4], strict=True):
            kept = mine & (matching.scores >= limit)
            right = int((matching.found[0][kept] != NONE).sum())
            assert precision == pytest.approx(right / kept.sum())
            assert recall == pytest.approx(right / max(boxes, 1))
            assert f1 == pytest.approx(2 * right / (kept.sum() + boxes))


@pytest.mark.parametrize("count", [0, 1, 100, 101, 102, 1000])
def test_thin_curves_keep_their_ends_and_their_best(count: int) -> None:
    rng = np.random.default_rng(count)
    columns = rng.random((3, count))
    curve = ClassCurve(np.sort(rng.random(count))[::-1], *columns, 9)
    thin = thinned(curve)
    assert len(thin.thresholds) == min(count, 101) or 100 <= len(thin.thresholds) <= 101
    assert set(thin.thresholds) <= set(curve.thresholds)
    if count:
        assert (thin.thresholds[0], thin.thresholds[-1]) == (curve.thresholds[0], curve.thresholds[-1])
        assert thin.f1.max() == curve.f1.max()
        assert (np.diff(thin.thresholds) <= 0).all()


# ---------------------------------------------------------------- thresholds


def test_rules() -> None:
    assert parse_rule("f1") == ThresholdRule()
    assert parse_rule("precision=0.9") == ThresholdRule(0.9)
    assert [str(parse_rule(text)) for text in ("f1", "precision=0.90", "precision=1")] == [
        "f1", "precision=0.9", "precision=1",
    ]  # fmt: skip
    for text in (
        "F1",
        "precision",
        "precision=",
        "precision=0",
        "precision=1.1",
        "precision=nan",
        "recall=0.5",
    ):
        with pytest.raises(UsageError, match=r"take f1, or precision=0\.9"):
            parse_rule(text)


def test_precision_takes_the_lowest_threshold_that_keeps_it() -> None:
    truth, found = one_class([True, False, True, True, False], [0.9, 0.8, 0.7, 0.6, 0.5], missed=1)
    matching = match_detections(truth, found)

    def at(precision: float) -> float:
        return choose_thresholds(matching, ("cat",), ThresholdRule(precision)).values["cat"]

    assert 0.5 <= at(0.75) < 0.6  # 3 of 4, although 1 of 2 comes before
    assert 0.8 <= at(0.76) < 0.9
    assert at(0.6) < 0.5


def test_precision_that_is_never_reached_shows_nothing_and_says_so() -> None:
    truth, found = one_class([False, True], [0.9, 0.8])
    result = choose_thresholds(match_detections(truth, found), ("cat",), ThresholdRule(0.9))
    assert result == ({"cat": NEVER}, {"cat": 0.5})
    assert not (found.scores > NEVER).any()


def test_no_detection_nothing_to_choose_by(
    make_case: Callable[..., Any], nothing_found: Callable[..., Any]
) -> None:
    truth, _ = make_case(0)
    matching = match_detections(truth, nothing_found(truth))
    for rule in (ThresholdRule(), ThresholdRule(0.5)):
        assert choose_thresholds(matching, truth.classes.names, rule) == ({}, {})


@SEEDS
def test_chosen_precision_holds_and_one_more_breaks_it(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed)
    matching = match_detections(truth, found)
    values, unreached = choose_thresholds(matching, truth.classes.names, ThresholdRule(0.6))
    for label, name in enumerate(truth.classes.names):
        mine = (matching.labels == label) & ~matching.ignored[0]
        right = matching.found[0] != NONE
        reached = [
            limit for limit in matching.scores[mine] if right[mine & (matching.scores >= limit)].mean() >= 0.6
        ]
        assert (name in unreached) == (mine.any() and not reached)
        if reached:
            kept = mine & (matching.scores > values[name])
            assert matching.scores[kept].min() == min(reached)


# ---------------------------------------------------------------- confusion


def plain_confusion(truth: GroundTruth, found: DetectionColumns, limits: dict[str, float]) -> Any:
    names = truth.classes.names
    counts = np.zeros((4, 4), dtype=int)
    for place, image in enumerate(truth.image_ids.tolist()):
        rows = range(truth.offsets[place], truth.offsets[place + 1])
        left = [i for i in rows if not truth.crowd[i]]
        crowds = [i for i in rows if truth.crowd[i]]
        mine = [
            i
            for i in np.flatnonzero(found.image_ids == image)
            if found.scores[i] > limits[names[found.labels[i]]]
        ]
        mine.sort(key=lambda i: -found.scores[i])

        def best(i: int, boxes: list[int]) -> tuple[float, int]:
            pairs = [
                (
                    float(
                        box_overlaps(found.boxes[i : i + 1], truth.boxes[j : j + 1], truth.crowd[j : j + 1])[
                            0, 0
                        ]
                    ),
                    j,
                )
                for j in boxes
            ]
            return max(pairs, default=(0.0, -1))

        wrong = []
        for i in mine:
            share, j = best(i, [j for j in left if truth.labels[j] == found.labels[i]])
            if share >= 0.5:
                left.remove(j)
                counts[found.labels[i], found.labels[i]] += 1
            elif best(i, [j for j in crowds if truth.labels[j] == found.labels[i]])[0] < 0.5:
                wrong.append(i)
        for i in wrong:
            share, j = best(i, [j for j in left if truth.labels[j] != found.labels[i]])
            if share >= 0.5:
                left.remove(j)
            counts[truth.labels[j] if share >= 0.5 else 3, found.labels[i]] += 1
        for j in left:
            counts[truth.labels[j], 3] += 1
    return counts


@SEEDS
def test_confusion_is_a_plain_count(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed, crowd=0.2)
    limits = dict(zip(truth.classes.names, (0.3, 0.1, 0.5), strict=True))
    matching = match_detections(truth, found)
    kept = kept_by(matching, truth.classes.names, limits, 0.9)
    result = confusion_matrix(truth, found, matching, kept)
    assert result.counts.tolist() == plain_confusion(truth, found, limits).tolist()
    boxes = np.bincount(truth.labels[~truth.crowd], minlength=3)
    assert result.counts[:3].sum(axis=1).tolist() == boxes.tolist()
    assert result.counts.sum() - result.counts[:, 3].sum() == (kept & ~matching.ignored[0]).sum()
    for label in range(3):
        right = (kept & (matching.labels == label) & (matching.found[0] != NONE)).sum()
        assert result.counts[label, label] == right  # the true positives of the curves
    assert result.recall(2) is None


def test_a_class_without_a_threshold_has_the_default(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(0)
    matching = match_detections(truth, found)
    kept = kept_by(matching, truth.classes.names, {truth.classes.names[0]: 0.2}, 0.7)
    limits = np.array([0.2, 0.7, 0.7])[matching.labels]
    assert kept.tolist() == (matching.scores > limits).tolist()


# ---------------------------------------------------------------- calibration


@SEEDS
def test_reliability_is_a_plain_count(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed, crowd=0.2)
    matching = match_detections(truth, found)
    for label in (None, 0, 1):
        table = reliability(matching, label)
        mine = ~matching.ignored[0] & ((matching.labels == label) if label is not None else True)
        error = 0.0
        for k, row in enumerate(table.bins):
            inside = mine & (matching.scores > k / 10) & (matching.scores <= (k + 1) / 10)
            assert row.detections == inside.sum()
            if inside.any():
                right = (matching.found[0][inside] != NONE).mean()
                assert row.correct == pytest.approx(right)
                assert row.score == pytest.approx(matching.scores[inside].mean())
                error += inside.sum() * abs(right - matching.scores[inside].mean()) / mine.sum()
            else:
                assert (row.score, row.correct) == (None, None)
        assert table.error == pytest.approx(error)


def test_scores_that_say_what_is_right_have_no_error() -> None:
    truth, found = one_class([True] * 3 + [False], [0.75] * 4)
    assert reliability(match_detections(truth, found)).error == pytest.approx(0.0)
    truth, found = one_class([False] * 4, [0.75] * 4, missed=1)
    assert reliability(match_detections(truth, found)).error == pytest.approx(0.75)


def test_scores_at_the_ends_have_a_bin() -> None:
    truth, found = one_class([True, False], [1.0, 0.0])
    bins = reliability(match_detections(truth, found)).bins
    assert [row.detections for row in bins] == [1, *[0] * 8, 1]


# ---------------------------------------------------------------- sizes


@SEEDS
def test_recall_by_size_and_crowd_are_plain_counts(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed)
    matching = match_detections(truth, found)
    kept = matching.scores > 0.5
    hit = np.isin(np.arange(len(truth.labels)), matching.found[0])
    kept_hit = np.isin(np.arange(len(truth.labels)), matching.found[0][kept])
    sides = np.sqrt((truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1))
    per_picture = [
        int((~truth.crowd[start:end]).sum())
        for start, end in zip(truth.offsets[:-1], truth.offsets[1:], strict=True)
    ]
    crowds = np.repeat(per_picture, np.diff(truth.offsets))
    for rows, values in (
        (recall_by_size(truth, matching, kept), sides),
        (recall_by_crowd(truth, matching, kept), crowds),
    ):
        assert sum(row.boxes for row in rows) == (~truth.crowd).sum()
        for row in rows:
            mine = ~truth.crowd & (values >= row.low) & (values < (row.high or np.inf))
            assert row.boxes == mine.sum() > 0
            assert row.any_score == pytest.approx(hit[mine].mean())
            assert row.kept == pytest.approx(kept_hit[mine].mean())
    assert {row.low for row in recall_by_size(truth, matching, kept)} <= {0, *SIDES}
