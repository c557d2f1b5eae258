"""What is read off a model after training: damage that is done to labels must come out on top."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.data.records import Records
from foveal.data.shapes import make_shapes
from foveal.diagnosis.after.analysis import STORED, Analysis, analyse, as_json
from foveal.diagnosis.after.findings import findings
from foveal.diagnosis.after.galleries import ROWS_FILE, write_galleries
from foveal.diagnosis.after.places import Suspect
from foveal.diagnosis.after.suspects import TITLES, suspects
from foveal.diagnosis.after.text import all_lines, detail_tables, error_lines
from foveal.errors import DataError
from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.errors import ERROR_KINDS
from foveal.metrics.thresholds import ThresholdRule
from foveal.types import ClassNames, GroundTruth

HOSTILE = ("=HYPERLINK(1)", "[red]</script>")


@pytest.fixture(scope="module")
def records() -> Records:
    plain = make_shapes(16, 2, 160, seed=5, empty_share=0.0)
    return replace(plain, classes=plain.classes._replace(names=HOSTILE))


def analysed(records: Records, boxes: Any, labels: Any, scores: Any, **options: Any) -> Analysis:
    """Detections as columns over all boxes of the records, in their order."""
    evaluator = CocoEvaluator(records.ground_truth())
    for picture, image_id in enumerate(records.image_ids.tolist()):
        span = slice(records.offsets[picture], records.offsets[picture + 1])
        evaluator.add(image_id, boxes[span], scores[span], labels[span])
    return analyse(evaluator, samples=10, **options)


def perfect(records: Records, truth: Records | None = None, **options: Any) -> Analysis:
    """A model that finds what ``records`` say, measured on ``truth``, which differs from it in values only."""
    scores = np.random.default_rng(0).uniform(0.6, 0.95, len(records.labels))
    return analysed(truth or records, records.boxes, records.labels, scores, **options)


def one_picture(boxes: list[list[float]]) -> tuple[GroundTruth, Callable[..., Analysis]]:
    """Labels of one class in one picture of 100 x 100, and what measures detections on them."""
    rows, count = np.array(boxes, dtype=float), len(boxes)
    side = np.array([100])
    truth = GroundTruth(
        np.array([1]), side, side, np.array([0, count]), rows, np.zeros(count, int), np.zeros(count, bool),
        (rows[:, 2:] - rows[:, :2]).prod(axis=1), ClassNames(("cat",), (1,)),
    )  # fmt: skip

    def measure(truth: GroundTruth, found: list[list[float]], scores: list[float]) -> Analysis:
        evaluator = CocoEvaluator(truth)
        evaluator.add(1, found, scores, [0] * len(found))
        return analyse(evaluator, stored={"cat": 0.5}, samples=2)

    return truth, measure


def alone(records: Records) -> int:
    """A box well off its picture's edge and of usual size."""
    sizes = (records.boxes[:, 2:] - records.boxes[:, :2]).prod(axis=1)
    middle = np.abs(records.boxes - 80).max(axis=1)
    usual = np.abs(np.argsort(np.argsort(sizes)) - len(sizes) / 2)
    return int(np.argmin(middle + usual))


def first(result: Analysis, gallery: str) -> Suspect:
    rows = suspects(result)[gallery]
    assert rows, gallery
    return rows[0]


def test_nothing_wrong_nothing_to_show(records: Records) -> None:
    result = perfect(records)
    assert not any(suspects(result).values())
    assert [row.rule for row in findings(result) if row.rule.startswith("errors_")] == []
    assert error_lines(result) == []


def test_a_wrong_class_is_found(records: Records) -> None:
    row = alone(records)
    labels = records.labels.copy()
    labels[row] = 1 - labels[row]
    suspect = first(perfect(records, replace(records, labels=labels)), "wrong_class")
    assert suspect.truth == row
    assert suspect.why == f"labelled {HOSTILE[labels[row]]}, seen as {HOSTILE[1 - labels[row]]}"
    assert suspect.iou == pytest.approx(1.0)


def test_a_shifted_box_is_found(records: Records) -> None:
    row = alone(records)
    boxes = records.boxes.copy()
    boxes[row] += 0.45 * np.tile([boxes[row, 2] - boxes[row, 0], 0], 2)
    suspect = first(perfect(records, replace(records, boxes=boxes)), "box_off")
    assert (suspect.truth, suspect.detection) == (row, row)
    assert 0.3 < suspect.iou < 0.5


def test_a_box_that_is_found_badly_is_off_too(records: Records) -> None:
    """An IoU over 0.5 counts as found, and says that the two are of one object: the label is loose."""
    row = alone(records)
    boxes = records.boxes.copy()
    boxes[row] += 0.28 * np.tile([boxes[row, 2] - boxes[row, 0], 0], 2)
    suspect = first(perfect(records, replace(records, boxes=boxes)), "box_off")
    assert (suspect.truth, suspect.detection) == (row, row)
    assert 0.5 < suspect.iou < 0.6


def test_a_detection_nearer_to_another_label_puts_no_box_in_doubt() -> None:
    """The second detection lies between a label that is found and one that is not, and nearer to the first."""
    truth, measure = one_picture([[50, 10, 90, 50], [10, 10, 50, 50]])
    rows = suspects(measure(truth, [[50, 10, 90, 50], [32, 10, 72, 50]], [0.9, 0.8]))
    assert [s.truth for s in rows["misses"]] == [1]
    assert rows["box_off"] == []
    rows = suspects(measure(truth, [[50, 10, 90, 50], [28, 10, 68, 50]], [0.9, 0.8]))
    assert [(s.truth, s.detection) for s in rows["box_off"]] == [(1, 1)]


def test_a_neighbours_detection_does_not_speak_for_a_label() -> None:
    """A label of nothing that a found neighbour overlaps."""
    truth, measure = one_picture([[20, 20, 60, 60], [42, 20, 82, 60]])
    suspect = suspects(measure(truth, [[24, 20, 64, 60]], [0.9]))["unsupported"]
    assert [(s.truth, s.why) for s in suspect] == [(1, "no detection on it")]


def test_a_missing_label_is_found(records: Records) -> None:
    """The label is put elsewhere as a crowd of no size to speak of, so that the rows stay as they are."""
    row = alone(records)
    boxes, crowd = records.boxes.copy(), records.crowd.copy()
    boxes[row], crowd[row] = [0, 0, 0.01, 0.01], True
    result = perfect(records, replace(records, boxes=boxes, crowd=crowd))
    rows = suspects(result)["missing_label"]
    assert [suspect.detection for suspect in rows] == [row]
    assert [suspect.why.split(",")[0] for suspect in suspects(result)["mistakes"]] == ["background"]


def test_a_label_of_nothing_and_a_miss_are_found(records: Records) -> None:
    row = alone(records)
    scores = np.full(len(records.labels), 0.8)
    boxes = records.boxes.copy()
    boxes[row] = [0, 0, 0.01, 0.01]  # its detection is nowhere near
    result = analysed(records, boxes, records.labels, scores, rule=ThresholdRule())
    for gallery, why in (("misses", "no detection near it"), ("unsupported", "no detection on it")):
        suspect = first(result, gallery)
        assert (suspect.truth, suspect.why) == (row, why)


def test_a_low_score_is_a_miss_at_the_threshold(records: Records) -> None:
    row = alone(records)
    scores = np.full(len(records.labels), 0.8)
    scores[row] = 0.2
    result = analysed(records, records.boxes, records.labels, scores, stored=dict.fromkeys(HOSTILE, 0.5))
    assert result.rule == STORED
    assert [(s.truth, s.why) for s in suspects(result)["misses"]] == [
        (row, "found, but score 0.20 is too low")
    ]
    assert result.confusion.counts[records.labels[row], 2] == 1


def test_the_errors_are_priced_in_words(records: Records) -> None:
    """Every tenth box is not found: the line names the kind, the price, the counts and what helps."""
    boxes = records.boxes.copy()
    lost = np.arange(0, len(boxes), 10)
    boxes[lost] = [0, 0, 0.01, 0.01]
    result = analysed(records, boxes, records.labels, np.full(len(boxes), 0.8))
    rows = {row.rule: row for row in findings(result)}
    missed = rows["errors_missed"]
    assert missed.severity == "warning"
    assert missed.message.startswith(
        f"missed {result.errors.points['missed']:.1f} points of AP50: {len(lost)} of "
    )
    assert f"of {len(boxes)} boxes that no detection finds" in missed.message
    text = "\n".join(error_lines(result))
    assert missed.message in text
    assert missed.fix in "\n".join(all_lines(result))


def test_a_model_that_has_learned_nothing_is_not_given_other_advice(records: Records) -> None:
    nowhere = records.boxes + 5000
    scores = np.full(len(nowhere), 0.5)
    result = analysed(records, nowhere, records.labels, scores)
    assert findings(result)[0].rule == "hardly_learned"
    lines = error_lines(result)
    assert lines[0].startswith("AP50 0.000: the model has learned next to nothing")
    assert len(lines) == 2


@pytest.mark.parametrize(("right", "hardly"), [(7, True), (3, False)])
def test_a_model_whose_scores_are_still_low_is_not_blamed_for_a_handful_of_detections(
    records: Records, right: int, hardly: bool
) -> None:
    """Every seventh box, or every third, is detected, and next to none of them over the thresholds."""
    boxes, scores = records.boxes + 5000, np.full(len(records.labels), 0.1)
    boxes[::right] -= 5000
    scores[::right] = 0.2
    scores[: 2 * right : right] = 0.8
    result = analysed(records, boxes, records.labels, scores, stored=dict.fromkeys(HOSTILE, 0.5))
    found = findings(result)
    assert (found[0].rule == "hardly_learned") == hardly
    assert (f"2 of {len(boxes)} boxes found" in found[0].message) == hardly


def test_thresholds_that_nothing_passes_are_told_with_the_best_score(records: Records) -> None:
    """And no line counts the detections over them: all would say 0."""
    scores = np.linspace(0.1, 0.2, len(records.labels))
    boxes = records.boxes.copy()
    boxes[::5] += 70
    result = analysed(records, boxes, records.labels, scores, stored=dict.fromkeys(HOSTILE, 0.5))
    lines = error_lines(result)
    best = HOSTILE[records.labels[-1]]
    assert lines[0] == (
        f"nothing scores over the thresholds: the best score is 0.20 ({best}), its threshold 0.50"
    )
    assert "none of them over the thresholds" in "\n".join(lines)
    assert " 0 detections" not in "\n".join(lines)
    nothing = analysed(records, boxes[:0], records.labels[:0], scores[:0])
    assert error_lines(nothing)[1].startswith("the model gives no detection on these pictures")
    assert "thresholds" not in "\n".join(error_lines(perfect(records)))


def test_precision_that_is_not_reached_is_told(records: Records) -> None:
    boxes = np.tile([0, 0, 0.01, 0.01], (len(records.labels), 1))
    result = analysed(records, boxes, records.labels, np.full(len(boxes), 0.8), rule=ThresholdRule(0.9))
    told = [row for row in findings(result) if row.rule == "precision_unreached"]
    assert [row.where for row in told] == list(HOSTILE)
    assert told[0].message in "\n".join(error_lines(result))
    assert not result.kept.any()


def test_the_json_is_strict_and_complete(records: Records) -> None:
    result = perfect(records)
    content = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert list(content) == [
        "intervals", "errors", "confusion", "curves", "calibration", "thresholds", "by_size",
    ]  # fmt: skip
    assert content["confusion"]["names"] == [*HOSTILE, None]
    assert content["intervals"]["AP"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(content["errors"]["points"]) == set(ERROR_KINDS)
    for curve in content["curves"]:
        assert len(curve["threshold"]) == len(curve["precision"]) == len(curve["recall"]) <= 101
    assert set(content["thresholds"]["values"]) == set(HOSTILE)
    sizes = content["by_size"]["per_class"]
    assert [sum(row["boxes"]) for row in sizes] == records.boxes_per_class()


@pytest.mark.parametrize("what", ["no detection", "no box", "one picture"])
def test_little_to_go_by(records: Records, what: str) -> None:
    """Sections, words, tables and galleries stand on any set."""
    none = np.zeros((0, 4)), np.zeros(0, dtype=np.int64), np.zeros(0)
    if what == "no detection":
        evaluator = CocoEvaluator(records.ground_truth())
    else:
        gone = records.offsets > (records.offsets[1] if what == "one picture" else -1)
        offsets = np.where(gone, records.offsets[1] if what == "one picture" else 0, records.offsets)
        count = int(offsets[-1])
        few = replace(
            records, offsets=offsets, boxes=records.boxes[:count], labels=records.labels[:count],
            crowd=records.crowd[:count], area=records.area[:count],
        )  # fmt: skip
        evaluator = CocoEvaluator(few.ground_truth())
        for image_id in records.image_ids.tolist()[:1]:
            evaluator.add(image_id, *(none if what == "one picture" else (records.boxes[:1], [0.9], [0])))
    result = analyse(evaluator, samples=5)
    json.dumps(as_json(result), allow_nan=False)
    assert len(detail_tables(result)) == 4
    rows = suspects(result)
    assert bool(rows["missing_label"]) == (what == "no box")
    assert bool(rows["misses"]) == (what != "no box")
    all_lines(result)


def test_galleries_are_sheets_and_rows(records: Records, tmp_path: Path) -> None:
    scores = np.full(len(records.labels), 0.8)
    boxes = records.boxes.copy()
    boxes[::4] = [0, 0, 8, 8]
    result = analysed(records, boxes, records.labels, scores)
    made = write_galleries(result, records, tmp_path, limit=7)
    assert [gallery.name for gallery in made] == [name for name in TITLES if suspects(result)[name]]
    listed = json.loads((tmp_path / ROWS_FILE).read_text())
    assert listed == json.loads(json.dumps([gallery._asdict() for gallery in made]))
    for gallery in made:
        assert 0 < len(gallery.rows) <= 7
        with Image.open(tmp_path / gallery.file) as sheet:
            assert sheet.format == "JPEG"
            assert sheet.width > 288
    misses = next(gallery for gallery in made if gallery.name == "misses")
    row = misses.rows[0]
    assert row["file"] in records.files
    assert row["label"]["class"] in HOSTILE
    assert row["detection"] is None


def test_the_crop_shows_its_place(records: Records, tmp_path: Path) -> None:
    """The label's colour is on the sheet where the label is drawn; without a suspect there is no file."""
    row = alone(records)
    labels = records.labels.copy()
    labels[row] = 1 - labels[row]
    write_galleries(perfect(records, replace(records, labels=labels)), records, tmp_path)
    sheet = np.asarray(Image.open(tmp_path / "wrong_class.jpg").convert("RGB")).astype(int)
    assert sheet.shape[1] > 900, "one crop, and room for the header"
    orange = (np.abs(sheet - [255, 120, 0]).sum(axis=2) < 60).sum()
    assert orange > 200
    assert not (tmp_path / "box_off.jpg").exists()


def test_a_picture_that_is_gone_is_left_out_of_the_sheet(records: Records, tmp_path: Path) -> None:
    class Gone(Records):
        def load(self, picture: int) -> Any:
            raise DataError("gone")

    boxes = records.boxes.copy()
    boxes[::4] = [0, 0, 8, 8]
    result = analysed(records, boxes, records.labels, np.full(len(boxes), 0.8))
    fields = {name: getattr(records, name) for name in Records.__dataclass_fields__}
    made = write_galleries(result, Gone(**fields), tmp_path)
    assert made[0].rows
    assert not list(tmp_path.glob("*.jpg"))
