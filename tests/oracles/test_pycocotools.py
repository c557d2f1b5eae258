"""The evaluator against pycocotools: the twelve numbers must not differ in a single bit."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from foveal.metrics.coco import COCO_METRICS, CocoEvaluator, evaluate_coco
from foveal.types import ClassNames, GroundTruth


def oracle(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float | None]:
    """pycocotools' twelve numbers, with None for its -1."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(row) for row in results]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [None if value == -1 else float(value) for value in evaluation.stats]
    return dict(zip(COCO_METRICS, numbers, strict=True))


def coco_dict(truth: GroundTruth) -> dict[str, Any]:
    """The ground truth as a COCO file's content, annotation ids from 1."""
    pictures = np.repeat(truth.image_ids, np.diff(truth.offsets)).tolist()
    annotations = []
    for row, picture in enumerate(pictures):
        x1, y1, x2, y2 = truth.boxes[row].tolist()
        annotations.append(
            {
                "id": row + 1,
                "image_id": picture,
                "category_id": truth.classes.ids[truth.labels[row]],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": float(truth.area[row]),
                "iscrowd": int(truth.crowd[row]),
            }
        )
    return {
        "info": {},
        "images": [{"id": i} for i in truth.image_ids.tolist()],
        "categories": [{"id": i, "name": n} for n, i in zip(*truth.classes, strict=True)],
        "annotations": annotations,
    }


def ground_truth(data: dict[str, Any]) -> GroundTruth:
    """A COCO file's content as columns."""
    ids = [category["id"] for category in data["categories"]]
    per_picture: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in data["images"]}
    for annotation in data["annotations"]:
        per_picture[annotation["image_id"]].append(annotation)
    rows = [annotation for group in per_picture.values() for annotation in group]
    boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return GroundTruth(
        np.array(list(per_picture), dtype=np.int64),
        np.array([image["height"] for image in data["images"]]),
        np.array([image["width"] for image in data["images"]]),
        np.cumsum([0, *(len(group) for group in per_picture.values())]),
        boxes,
        np.array([ids.index(row["category_id"]) for row in rows], dtype=np.int64),
        np.array([bool(row["iscrowd"]) for row in rows], dtype=bool),
        np.array([row["area"] for row in rows], dtype=np.float64),
        ClassNames(tuple(category["name"] for category in data["categories"]), tuple(ids)),
    )


def random_truth(rng: np.random.Generator) -> GroundTruth:
    """Few pictures, some empty; crowds; areas that are not width times height; class ids with gaps."""
    pictures, classes = int(rng.integers(1, 7)), int(rng.integers(1, 6))
    counts = rng.integers(0, 8, pictures) * (rng.random(pictures) > 0.25)
    total = int(counts.sum())
    corner = rng.uniform(0, 300, (total, 2))
    # Sides from a few pixels to hundreds, so that small, medium and large all occur.
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(1, 5.5, (total, 2)))], axis=1)
    if rng.random() < 0.5:
        boxes = np.round(boxes)
        boxes[:, 2:] += 1
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if rng.random() < 0.5:
        area = area * rng.uniform(0.3, 1, total)
    ids = tuple(rng.permutation(np.arange(20))[:classes].tolist())
    return GroundTruth(
        rng.permutation(np.arange(50))[:pictures].astype(np.int64),
        np.full(pictures, 600),
        np.full(pictures, 600),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes,
        rng.integers(0, classes, total),
        rng.random(total) < 0.15,
        area,
        ClassNames(tuple(f"class {i}" for i in ids), ids),
    )


def fill(evaluator: CocoEvaluator, rng: np.random.Generator, crowded: bool = False) -> None:
    """Detections near the truth with some moved, some doubled, some of a wrong class, and stray ones."""
    truth = evaluator.ground_truth
    for place in rng.permutation(len(truth.image_ids)):
        if rng.random() < 0.1:
            continue
        span = slice(truth.offsets[place], truth.offsets[place + 1])
        copies = int(rng.integers(1, 3))
        boxes = np.repeat(truth.boxes[span], copies, axis=0)
        labels = np.repeat(truth.labels[span], copies)
        sides = boxes[:, 2:] - boxes[:, :2]
        shake = rng.normal(0, rng.choice([0.0, 0.03, 0.15]), (len(boxes), 4)) * np.tile(sides, 2)
        boxes = boxes + shake
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        stray = int(rng.integers(130, 300)) if crowded else int(rng.integers(0, 12))
        corner = rng.uniform(0, 500, (stray, 2))
        boxes = np.concatenate([boxes, np.concatenate([corner, corner + rng.uniform(2, 200, (stray, 2))], 1)])
        wrong = rng.random(len(labels)) < 0.1
        labels = np.where(wrong, rng.integers(0, len(truth.classes.names), len(labels)), labels)
        labels = np.concatenate([labels, rng.integers(0, len(truth.classes.names), stray)])
        # One decimal: many scores are equal, within a picture and between pictures.
        scores = np.round(rng.random(len(boxes)), int(rng.choice([1, 2, 6])))
        keep = rng.random(len(boxes)) < 0.9
        evaluator.add(int(truth.image_ids[place]), boxes[keep], scores[keep], labels[keep])


@pytest.mark.parametrize("block", range(10))
def test_twenty_random_cases_do_not_differ(block: int) -> None:
    compared = 0
    for case in range(20):
        rng = np.random.default_rng([block, case])
        evaluator = CocoEvaluator(random_truth(rng))
        fill(evaluator, rng, crowded=case % 5 == 0)
        results = evaluator.to_coco()
        if not results:  # pycocotools cannot load an empty list; see test_coco.py
            continue
        expected = oracle(coco_dict(evaluator.ground_truth), results)
        assert evaluator.compute() == expected, f"case [{block}, {case}]"
        assert evaluate_coco(evaluator.ground_truth, results) == expected, f"case [{block}, {case}]"
        compared += 1
    assert compared >= 17


def test_tinycoco_with_shaken_boxes(shared: Path) -> None:
    file = shared / "data/tinycoco_coco/annotations/instances_train2017.json"
    data = json.loads(file.read_text())
    evaluator = CocoEvaluator(ground_truth(data))
    fill(evaluator, np.random.default_rng(0))
    numbers = evaluator.compute()
    assert numbers == oracle(data, evaluator.to_coco())
    assert all(value is not None and 0 < value < 1 for value in numbers.values())


def test_tinycoco_truth_as_detections(shared: Path) -> None:
    data = json.loads((shared / "data/tinycoco_coco/annotations/instances_train2017.json").read_text())
    results = [
        {**{key: row[key] for key in ("image_id", "category_id", "bbox")}, "score": 1.0}
        for row in data["annotations"]
        if not row["iscrowd"]
    ]
    numbers = evaluate_coco(ground_truth(data), results)
    assert numbers == oracle(data, results)
    assert numbers["AP"] == pytest.approx(1.0)


def test_eval_toy_cats(shared: Path) -> None:
    folder = shared / "data/eval_toy_cats"
    data = json.loads((folder / "gts_coco_format/toy_example_coco.JSON").read_text())
    # One annotation has id 0, which pycocotools takes for "no match"; ids from 1 are meant.
    data["annotations"] = [{**row, "id": row["id"] + 1} for row in data["annotations"]]
    results = json.loads((folder / "dets_coco_format/coco_dets.json").read_text())["annotations"]
    numbers = evaluate_coco(ground_truth(data), results)
    assert numbers == oracle(data, results)
    assert numbers["AP50"] == pytest.approx(0.890264, abs=1e-6)
