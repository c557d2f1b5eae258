"""The evaluator: what goes in, what is refused, what the numbers are named. Their values: oracles/."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from foveal.errors import DataError, DivergedError
from foveal.metrics.coco import COCO_METRICS, CocoEvaluator, evaluate_coco
from foveal.ops.letterbox import apply_boxes, fit_letterbox
from foveal.types import Batch, BatchDetections, ClassNames, Evaluator, GroundTruth, Target

TRUTH = GroundTruth(
    image_ids=np.array([40, 7, 12]),
    heights=np.array([100, 300, 200]),
    widths=np.array([200, 300, 100]),
    offsets=np.array([0, 2, 2, 4]),
    boxes=np.array([[10.0, 10, 60, 60], [100, 20, 180, 90], [5, 5, 25, 25], [30, 30, 90, 190]]),
    labels=np.array([0, 1, 0, 1]),
    crowd=np.array([False, False, False, True]),
    area=np.array([2500.0, 5600.0, 400.0, 9600.0]),
    classes=ClassNames(("cat", "dog", "emu"), (3, 1, 90)),
)


def add_truth(evaluator: CocoEvaluator) -> None:
    truth = evaluator.ground_truth
    for place, image_id in enumerate(truth.image_ids):
        span = slice(truth.offsets[place], truth.offsets[place + 1])
        evaluator.add(image_id, truth.boxes[span], np.ones(span.stop - span.start), truth.labels[span])


def canvas_batch() -> tuple[BatchDetections, Batch]:
    """The truth of pictures 40 and 12 as detections on a canvas, with rubbish in the empty places."""
    letterboxes = (fit_letterbox(100, 200, (256, 256)), fit_letterbox(200, 100, (256, 256)))
    boxes = torch.full((2, 5, 4), math.nan)
    scores = torch.full((2, 5), math.nan)
    labels = torch.full((2, 5), 77)
    for row, rows in enumerate((slice(0, 2), slice(2, 3))):
        count = rows.stop - rows.start
        boxes[row, :count] = apply_boxes(torch.from_numpy(TRUTH.boxes[rows]).float(), letterboxes[row])
        scores[row, :count] = torch.linspace(0.9, 0.8, count)
        labels[row, :count] = torch.from_numpy(TRUTH.labels[rows])
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
    batch = Batch(torch.zeros(2, 3, 256, 256, dtype=torch.uint8), (empty, empty), (40, 12), letterboxes)
    return BatchDetections(boxes, scores, labels, torch.tensor([2, 1])), batch


@pytest.mark.parametrize("first", [-5, 20_230_101_123_045_123, 2**60])
def test_picture_ids_may_be_any_whole_number(first: int) -> None:
    """Beyond 2**53 no float64 holds them, and neighbours would fall together."""
    truth = TRUTH._replace(image_ids=np.array([first + 2, first, first + 1]))
    evaluator, plain = CocoEvaluator(truth), CocoEvaluator(TRUTH)
    add_truth(evaluator)
    add_truth(plain)
    assert evaluator.compute() == plain.compute()
    assert [row["image_id"] for row in evaluator.to_coco()] == [first + 2, first + 2, first + 1, first + 1]


def test_the_truth_scores_one_and_absent_sizes_are_none() -> None:
    evaluator: Evaluator = CocoEvaluator(TRUTH)
    assert isinstance(evaluator, CocoEvaluator)
    add_truth(evaluator)
    numbers = evaluator.compute()
    assert tuple(numbers) == COCO_METRICS
    assert numbers["APl"] is None
    assert numbers["ARl"] is None
    assert all(value == pytest.approx(1.0) for value in numbers.values() if value is not None)


def test_no_detections_score_zero() -> None:
    numbers = CocoEvaluator(TRUTH).compute()
    assert numbers == {name: None if name in {"APl", "ARl"} else 0.0 for name in COCO_METRICS}


def test_nothing_to_find_is_none() -> None:
    nothing = TRUTH._replace(
        offsets=np.zeros(4, dtype=np.int64),
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, dtype=np.int64),
        crowd=np.zeros(0, dtype=bool),
        area=np.zeros(0),
    )
    evaluator = CocoEvaluator(nothing)
    assert set(evaluator.compute().values()) == {None}
    evaluator.add(7, [[1, 1, 5, 5]], [0.5], [2])
    assert set(evaluator.compute().values()) == {None}


def test_pictures_never_given_count_as_missed() -> None:
    evaluator = CocoEvaluator(TRUTH)
    evaluator.add(40, TRUTH.boxes[:2], [0.9, 0.8], [0, 1])
    rows = {row.name: row for row in evaluator.per_class()}
    # Picture 12's cat is missed: recall 0.5, and precision 1 at 51 of the 101 recalls.
    assert rows["cat"].AR100 == 0.5
    assert pytest.approx(51 / 101) == rows["cat"].AP50
    assert pytest.approx(1.0) == rows["dog"].AP


def test_update_undoes_the_letterbox_and_reads_the_first_places_only() -> None:
    evaluator = CocoEvaluator(TRUTH)
    evaluator.update(*canvas_batch())
    columns = evaluator.columns()
    assert columns.image_ids.tolist() == [40, 40, 12]
    np.testing.assert_allclose(columns.boxes, TRUTH.boxes[:3], atol=1e-4)
    assert columns.boxes.dtype == columns.scores.dtype == np.float64
    assert evaluator.compute()["AP"] == pytest.approx(1.0)


def test_numbers_follow_later_pictures_and_reset_forgets_them() -> None:
    evaluator = CocoEvaluator(TRUTH)
    assert evaluator.compute()["AP"] == 0.0
    add_truth(evaluator)
    assert evaluator.compute()["AP"] == pytest.approx(1.0)
    evaluator.reset()
    assert evaluator.compute()["AP"] == 0.0
    add_truth(evaluator)


def test_per_class_counts_pictures_and_boxes_without_crowds() -> None:
    evaluator = CocoEvaluator(TRUTH)
    add_truth(evaluator)
    rows = evaluator.per_class()
    assert [(row.name, row.id, row.pictures, row.boxes) for row in rows] == [
        ("cat", 3, 2, 2),
        ("dog", 1, 1, 1),
        ("emu", 90, 0, 0),
    ]
    assert pytest.approx(1.0) == rows[0].AP
    assert rows[2][4:] == (None, None, None, None)


def test_to_coco_gives_the_files_ids_and_xywh() -> None:
    evaluator = CocoEvaluator(TRUTH)
    evaluator.add(
        12,
        torch.tensor([[5.0, 5.0, 25.0, 30.0]]),
        torch.tensor([0.5], dtype=torch.bfloat16),
        torch.tensor([0]),
    )
    expected = [{"image_id": 12, "category_id": 3, "bbox": [5.0, 5.0, 20.0, 25.0], "score": 0.5}]
    assert evaluator.to_coco() == expected
    assert evaluate_coco(TRUTH, expected) == evaluator.compute()


def test_merge_passes_over_pictures_that_are_there() -> None:
    whole, first, second = CocoEvaluator(TRUTH), CocoEvaluator(TRUTH), CocoEvaluator(TRUTH)
    add_truth(whole)
    first.add(40, TRUTH.boxes[:2], [1, 1], [0, 1])
    first.add(7, [], [], [])
    second.add(12, TRUTH.boxes[2:], [1, 1], [0, 1])
    second.add(40, TRUTH.boxes[:2], [1, 1], [0, 1])
    first.merge([second.columns()])
    assert first.compute() == whole.compute()
    assert sorted(first.columns().pictures.tolist()) == [7, 12, 40]
    assert len(first.columns().scores) == 4


def test_max_detections_caps_each_picture_and_class() -> None:
    truth = TRUTH._replace(
        image_ids=np.array([1]),
        heights=np.array([100]),
        widths=np.array([5000]),
        offsets=np.array([0, 150]),
        boxes=np.array([[20.0 * i, 0, 20.0 * i + 15, 15] for i in range(150)]),
        labels=np.zeros(150, dtype=np.int64),
        crowd=np.zeros(150, dtype=bool),
        area=np.full(150, 225.0),
    )
    scores = np.linspace(1, 0.5, 150)

    def numbers(limit: int) -> dict[str, float | None]:
        evaluator = CocoEvaluator(truth, limit)
        evaluator.add(1, truth.boxes, scores, truth.labels)
        return evaluator.compute()

    recalls = [numbers(100)[name] for name in ("AR1", "AR10", "AR100")]
    assert recalls == pytest.approx([1 / 150, 10 / 150, 100 / 150])
    assert numbers(100)["AP"] == pytest.approx(67 / 101)
    assert numbers(200)["AP"] == pytest.approx(1.0)
    assert numbers(200)["AR100"] == pytest.approx(100 / 150)
    assert numbers(200)["ARs"] == 1.0
    assert numbers(5)["AR100"] == pytest.approx(5 / 150)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    evaluator = CocoEvaluator(TRUTH)
    evaluator.compute()
    add_truth(evaluator)
    evaluator.compute()
    evaluator.per_class()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_network_that_diverged_is_named_with_its_picture(bad: float) -> None:
    for column in ("scores", "boxes"):
        detections, batch = canvas_batch()
        getattr(detections, column)[1, 0] = bad
        with pytest.raises(DivergedError, match="picture 12"):
            CocoEvaluator(TRUTH).update(detections, batch)


@pytest.mark.parametrize(
    ("image_id", "boxes", "scores", "labels", "message"),
    [
        (41, [[0, 0, 1, 1]], [0.5], [0], "picture 41: the ground truth has no such picture"),
        (7, [[0, 0, 1, 1]], [math.nan], [0], "picture 7: a score is not a finite number"),
        (7, [[0, 0, math.inf, 1]], [0.5], [0], "picture 7: a box"),
        (7, [[0, 0, 1, 1]], [0.5], [3], "label 3 is no class; there are 3"),
        (7, [[0, 0, 1, 1]], [0.5], [-1], "label -1 is no class"),
    ],
)
def test_senseless_detections_are_refused(
    image_id: int, boxes: list[list[float]], scores: list[float], labels: list[int], message: str
) -> None:
    evaluator = CocoEvaluator(TRUTH)
    with pytest.raises(DataError, match=message):
        evaluator.add(image_id, boxes, scores, labels)
    assert len(evaluator.columns().pictures) == 0


def test_a_picture_given_twice_and_unequal_lengths_are_refused() -> None:
    evaluator = CocoEvaluator(TRUTH)
    evaluator.add(7, [], [], [])
    with pytest.raises(DataError, match="picture 7 were given twice"):
        evaluator.add(7, [], [], [])
    with pytest.raises(ValueError, match="1 boxes, 2 scores and 1 labels"):
        evaluator.add(12, [[0, 0, 1, 1]], [0.5, 0.5], [0])
    with pytest.raises(ValueError, match="at least 1"):
        CocoEvaluator(TRUTH, 0)
    with pytest.raises(DataError, match="picture id 40 occurs twice"):
        CocoEvaluator(TRUTH._replace(image_ids=np.array([40, 7, 40])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 2}, "result 0: category_id 2 is no class"),
        ({"bbox": [1, 2, 3]}, "result 0: not enough values"),
        ({"bbox": None}, "result 0: .*COCO results need image_id"),
        ({"score": "high"}, "result 0: could not convert"),
        ({"score": math.nan}, "picture 7: a score"),
        ({"image_id": 8}, "picture 8: the ground truth has no such picture"),
    ],
)
def test_bad_results_are_named(change: dict[str, object], message: str) -> None:
    row = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    evaluate_coco(TRUTH, [row])
    with pytest.raises(DataError, match=message):
        evaluate_coco(TRUTH, [{**row, **change}])
    with pytest.raises(DataError, match="result 0: no 'score'"):
        evaluate_coco(TRUTH, [{key: row[key] for key in ("image_id", "category_id", "bbox")}])
