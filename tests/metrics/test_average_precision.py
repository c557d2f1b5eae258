"""Average precision: curves worked out by hand, and the published values of a known set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from foveal.metrics.average_precision import (
    Matches,
    Method,
    average_precision,
    match_class,
    precision_recall,
    voc_average_precision,
)
from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.types import ClassNames, GroundTruth


def one_picture(boxes: list[list[float]], crowd: list[bool] | None = None) -> GroundTruth:
    count = len(boxes)
    columns = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return GroundTruth(
        np.array([5]),
        np.array([100]),
        np.array([100]),
        np.array([0, count]),
        columns,
        np.zeros(count, dtype=np.int64),
        np.array(crowd or [False] * count, dtype=bool),
        (columns[:, 2] - columns[:, 0]) * (columns[:, 3] - columns[:, 1]),
        ClassNames(("cat", "dog"), (1, 2)),
    )


def found(boxes: list[list[float]], scores: list[float]) -> DetectionColumns:
    count = len(scores)
    return DetectionColumns(
        np.full(count, 5),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores),
        np.zeros(count, dtype=np.int64),
        np.array([5]),
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Right, wrong, right, of 4 boxes: precision 1 up to recall 1/4, 2/3 up to 1/2, then 0.
        ("all_points", 0.25 + 0.25 * 2 / 3),
        ("eleven_points", (3 + 3 * 2 / 3) / 11),
        ("coco101", (26 + 25 * 2 / 3) / 101),
    ],
)
def test_three_ways_to_measure_one_curve(method: Method, expected: float) -> None:
    curve = precision_recall(Matches(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4))
    assert curve.recall.tolist() == [0.25, 0.25, 0.5]
    assert curve.precision.tolist() == [1.0, 0.5, 2 / 3]
    assert average_precision(curve.recall, curve.precision, method) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["all_points", "eleven_points", "coco101"])
def test_perfect_and_empty_curves(method: Method) -> None:
    assert average_precision(np.array([0.5, 1.0]), np.array([1.0, 1.0]), method) == 1.0
    assert average_precision(np.zeros(0), np.zeros(0), method) == 0.0
    assert average_precision(np.zeros(2), np.zeros(2), method) == 0.0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="all_points, eleven_points, coco101"):
        average_precision(np.ones(1), np.ones(1), "twelve_points")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two equal columns"):
        average_precision(np.ones(2), np.ones(1))


def test_a_second_detection_of_a_box_is_wrong() -> None:
    truth = one_picture([[0, 0, 10, 10], [50, 50, 60, 60]])
    boxes: list[list[float]] = [[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]]
    matches = match_class(truth, found(boxes, [0.5, 0.9, 0.7, 0.1]), 0)
    assert matches.scores.tolist() == [0.9, 0.7, 0.5, 0.1]
    assert matches.correct.tolist() == [True, True, False, False]
    assert matches.positives == 2


def test_the_threshold_itself_is_enough() -> None:
    truth = one_picture([[0, 0, 10, 10]])
    half = found([[0, 0, 10, 5]], [0.5])
    assert match_class(truth, half, 0, 0.5).correct.tolist() == [True]
    assert match_class(truth, half, 0, 0.51).correct.tolist() == [False]


def test_detections_of_a_crowd_drop_out() -> None:
    truth = one_picture([[0, 0, 10, 10], [50, 50, 60, 60]], [True, False])
    matches = match_class(
        truth, found([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8, 0.7]), 0
    )
    assert matches.scores.tolist() == [0.7]
    assert matches.correct.tolist() == [True]
    assert matches.positives == 1


def test_classes_are_apart_and_a_class_without_a_box_is_none() -> None:
    truth = one_picture([[0, 0, 10, 10]])
    result = voc_average_precision(truth, found([[0, 0, 10, 10]], [0.5]))
    assert result == {"cat": 1.0, "dog": None}
    assert voc_average_precision(truth, found([], [])) == {"cat": 0.0, "dog": None}


@pytest.mark.parametrize(
    ("iou", "method", "published"),
    [
        (0.5, "eleven_points", 0.886364),
        (0.5, "all_points", 0.895833),
        (0.75, "eleven_points", 0.492424),
        (0.75, "all_points", 0.509722),
    ],
)
def test_published_values_of_the_toy_cats(shared: Path, iou: float, method: Method, published: float) -> None:
    folder = shared / "data/eval_toy_cats"
    data = json.loads((folder / "gts_coco_format/toy_example_coco.JSON").read_text())
    results = json.loads((folder / "dets_coco_format/coco_dets.json").read_text())["annotations"]
    pictures = [image["id"] for image in data["images"]]
    rows = sorted(data["annotations"], key=lambda row: pictures.index(row["image_id"]))
    counts = [sum(row["image_id"] == picture for row in rows) for picture in pictures]
    truth = GroundTruth(
        np.array(pictures),
        np.array([image["height"] for image in data["images"]]),
        np.array([image["width"] for image in data["images"]]),
        np.cumsum([0, *counts]),
        corners([row["bbox"] for row in rows]),
        np.zeros(len(rows), dtype=np.int64),
        np.zeros(len(rows), dtype=bool),
        np.array([row["area"] for row in rows]),
        ClassNames(("cat",), (0,)),
    )
    evaluator = CocoEvaluator(truth)
    for picture in pictures:
        mine = [row for row in results if row["image_id"] == picture]
        evaluator.add(
            picture, corners([r["bbox"] for r in mine]), [r["score"] for r in mine], [0] * len(mine)
        )
    value = voc_average_precision(truth, evaluator.columns(), iou, method)["cat"]
    assert value == pytest.approx(published, abs=1e-6)


def corners(boxes: list[list[float]]) -> np.ndarray:
    """COCO's x, y, w, h as corners."""
    columns = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    columns[:, 2:] += columns[:, :2]
    return columns
