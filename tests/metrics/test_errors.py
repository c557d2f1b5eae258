"""The error split against a plain loop of TIDE's definition, and against hotcoco's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import hotcoco
import numpy as np
import pytest

from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns, to_xywh
from foveal.metrics.errors import ERROR_KINDS, ErrorSplit, mended_ap50, split_errors
from foveal.types import GroundTruth

Row = dict[str, Any]


def overlap(a: Any, b: Any) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def inside(a: Any, b: Any) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / ((a[2] - a[0]) * (a[3] - a[1]))


def judge(truth: GroundTruth, found: DetectionColumns) -> tuple[list[Row], list[Row]]:
    """Every detection with its kind, every box with how it fared (Bolya et al. 2020, section 2.2)."""
    every, boxes = [], []
    # In the order of the pictures' ids, which decides between equal scores.
    for place in np.argsort(truth.image_ids).tolist():
        image = truth.image_ids[place]
        rows = range(truth.offsets[place], truth.offsets[place + 1])
        real = [
            {"box": truth.boxes[i], "label": int(truth.labels[i]), "by": None, "best": None}
            for i in rows
            if not truth.crowd[i]
        ]
        crowds = [i for i in rows if truth.crowd[i]]
        mine = [
            {
                "box": found.boxes[i],
                "label": int(found.labels[i]),
                "score": float(found.scores[i]),
                "fix": None,
            }
            for i in np.flatnonzero(found.image_ids == image)
        ]
        mine.sort(key=lambda one: -one["score"])
        for one in mine:
            free = [b for b in real if b["label"] == one["label"] and b["by"] is None]
            best = max(free, key=lambda b: overlap(one["box"], b["box"]), default=None)
            one["kind"] = None
            if best is not None and overlap(one["box"], best["box"]) >= 0.5:
                best["by"], one["kind"] = one, "correct"
            elif any(
                truth.labels[i] == one["label"] and inside(one["box"], truth.boxes[i]) >= 0.5 for i in crowds
            ):
                one["kind"] = "ignored"
        for one in mine:
            if one["kind"] is None:
                _kind(one, real)
        every += mine
        boxes += real
    return every, boxes


def _kind(one: Row, real: list[Row]) -> None:
    def most(rows: list[Row]) -> tuple[float, Row | None]:
        return max(
            ((overlap(one["box"], b["box"]), b) for b in rows), key=lambda pair: pair[0], default=(0, None)
        )

    own, own_box = most([b for b in real if b["label"] == one["label"]])
    other, other_box = most([b for b in real if b["label"] != one["label"]])
    if 0.1 <= own < 0.5:
        one["kind"], target = "location", own_box
    elif other >= 0.5:
        one["kind"], target = "class", other_box
    elif own >= 0.5:
        one["kind"], target = "duplicate", None
    else:
        one["kind"], target = ("background" if max(own, other) < 0.1 else "both"), None
    if target is not None and target["by"] is None:
        one["fix"] = target
        if target["best"] is None or target["best"]["score"] < one["score"]:
            target["best"] = one


def plain_ap(every: list[Row], boxes: list[Row], classes: int, mend: Collection[str]) -> float:
    """AP50 in points, with one kind mended (section 2.3); the mean over the classes with boxes."""
    values = []
    for label in range(classes):
        if not any(box["label"] == label for box in boxes):
            continue
        ranked = []
        for one in sorted(every, key=lambda one: -one["score"]):
            kind, where = one["kind"], one["label"]
            if kind in mend:
                if one["fix"] is None or one["fix"]["best"] is not one:
                    continue
                kind, where = "correct", one["fix"]["label"]
            if where == label and kind != "ignored" and ("positives" not in mend or kind == "correct"):
                ranked.append(kind == "correct")
        total = 0
        for box in boxes:
            gone = box["by"] is None and ("negatives" in mend or ("missed" in mend and box["best"] is None))
            total += box["label"] == label and not gone
        if total == 0:
            values.append(100.0 * (not ranked))
            continue
        points = [(sum(ranked[: n + 1]) / total, sum(ranked[: n + 1]) / (n + 1)) for n in range(len(ranked))]
        best = [max((p for r, p in points if r >= at), default=0.0) for at in np.linspace(0, 1, 101)]
        values.append(100 * sum(best) / 101)
    return sum(values) / len(values)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("digits", [12, 1])
def test_equal_to_the_plain_loop(make_case: Callable[..., Any], seed: int, digits: int) -> None:
    """digits: of the scores; with one there are many ties."""
    truth, found = make_case(seed, crowd=0.1 if digits > 1 else 0.3)
    found = found._replace(scores=np.round(found.scores, digits))
    split = split_errors(truth, found)
    every, boxes = judge(truth, found)
    base = plain_ap(every, boxes, 3, ())
    counts = {kind: sum(one["kind"] == kind for one in every) for kind in ERROR_KINDS[:-1]}
    counts["missed"] = sum(box["by"] is None and box["best"] is None for box in boxes)
    assert split.counts == counts
    assert pytest.approx(base / 100, abs=1e-12) == split.AP50
    for kind in ERROR_KINDS:
        assert split.points[kind] == pytest.approx(plain_ap(every, boxes, 3, (kind,)) - base, abs=1e-9), kind
    assert split.false_positive == pytest.approx(plain_ap(every, boxes, 3, ("positives",)) - base, abs=1e-9)
    assert split.false_negative == pytest.approx(plain_ap(every, boxes, 3, ("negatives",)) - base, abs=1e-9)


def hotcoco_split(truth: GroundTruth, found: DetectionColumns) -> dict[str, Any]:
    ids = np.asarray(truth.classes.ids)
    rows = range(len(truth.labels))
    picture = np.repeat(truth.image_ids, np.diff(truth.offsets))
    labels = hotcoco.COCO(
        {
            "images": [{"id": int(i), "height": 300, "width": 300} for i in truth.image_ids],
            "categories": [{"id": i, "name": n} for n, i in zip(*truth.classes, strict=True)],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": int(picture[i]),
                    "category_id": int(ids[truth.labels[i]]),
                    "bbox": to_xywh(truth.boxes[i])[0].tolist(),
                    "area": float(truth.area[i]),
                    "iscrowd": int(truth.crowd[i]),
                }
                for i in rows
            ],
        }
    )
    results = np.column_stack([found.image_ids, to_xywh(found.boxes), found.scores, ids[found.labels]])
    evaluation = hotcoco.COCOeval(labels, labels.load_res(results.astype(float)), "bbox")
    evaluation.evaluate()
    return evaluation.tide_errors()


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_hotcoco(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed, pictures=12, crowd=0.0)
    split, its = split_errors(truth, found), hotcoco_split(truth, found)
    names = dict(zip(ERROR_KINDS, ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), strict=True))
    assert {names[kind]: count for kind, count in split.counts.items()} == its["counts"]
    for kind, name in names.items():
        assert split.points[kind] / 100 == pytest.approx(its["delta_ap"][name], abs=1e-9), kind
    assert split.false_positive / 100 == pytest.approx(its["delta_ap"]["FP"], abs=1e-9)
    assert split.false_negative / 100 == pytest.approx(its["delta_ap"]["FN"], abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_without_any_error_there_is_nothing_left_to_gain(make_case: Callable[..., Any], seed: int) -> None:
    truth, found = make_case(seed)
    assert mended_ap50(truth, found, ERROR_KINDS) == pytest.approx(1.0)
    split = split_errors(truth, found)
    assert mended_ap50(truth, found, ()) == split.AP50
    evaluator = CocoEvaluator(truth)
    evaluator.merge([found])
    assert pytest.approx(evaluator.compute()["AP50"], abs=1e-12) == split.AP50
    assert min(split.points.values()) >= 0


def test_every_detection_has_one_kind_and_classes_add_up(make_case: Callable[..., Any]) -> None:
    truth, found = make_case(3)
    split = split_errors(truth, found)
    assert set(split.kinds) <= {*ERROR_KINDS[:-1], "correct", "ignored"}
    assert len(split.kinds) == len(found.scores)
    for kind in ERROR_KINDS:
        assert sum(row.counts[kind] for row in split.per_class) == split.counts[kind]
        known = [row.points[kind] for row in split.per_class if row.points]
        assert np.mean(known) == pytest.approx(split.points[kind])
    unfound = sum(row.boxes for row in split.per_class) - (split.kinds == "correct").sum()
    assert split.counts["missed"] <= unfound
    assert split.per_class[2].AP50 is None  # the class without a box
    assert split.per_class[2].points == {}


def test_nothing_found(make_case: Callable[..., Any], nothing_found: Callable[..., Any]) -> None:
    truth, _ = make_case(0, crowd=0.0)
    split = split_errors(truth, nothing_found(truth))
    assert split.AP50 == 0
    assert split.points == {**dict.fromkeys(ERROR_KINDS, 0.0), "missed": 100.0}
    assert split.counts["missed"] == len(truth.labels)


def test_nothing_to_find(make_case: Callable[..., Any], without_boxes: Callable[..., Any]) -> None:
    truth, found = make_case(0)
    split: ErrorSplit = split_errors(without_boxes(truth), found)
    assert split.AP50 is None
    assert set(split.points.values()) == {0.0}
    assert split.counts == {**dict.fromkeys(ERROR_KINDS, 0), "background": len(found.scores)}
    assert mended_ap50(without_boxes(truth), found, ERROR_KINDS) is None
