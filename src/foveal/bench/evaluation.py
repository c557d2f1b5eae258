"""Row: the twelve COCO numbers of 5,000 pictures with 500,000 detections."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from foveal.bench.case import Absent, Case, Setup
from foveal.metrics.coco import COCO_METRICS, CocoEvaluator
from foveal.metrics.columns import to_xywh
from foveal.types import Array, ClassNames, GroundTruth

PICTURES, QUICK_PICTURES = 5_000, 60
CLASSES = 80
DETECTIONS = 100
"""Of each picture."""
BOXES = 7.3
"""COCO's mean of a picture; their number falls off exponentially."""
CROWD = 0.012
WIDTH, HEIGHT = 640, 480
JITTER = 0.08
"""Standard deviation of a detection's sides around its box, as a share of the box."""
Numbers = dict[str, float | None]


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """Loading the results is timed on both sides, loading the ground truth on neither."""
    pictures = QUICK_PICTURES if setup.quick else PICTURES
    name = f"COCO evaluation, {pictures:,} pictures, {pictures * DETECTIONS:,} detections, arrays in"
    if importlib.util.find_spec("pycocotools") is None:
        yield Absent(name, "pycocotools is not installed; it is in the extra 'dev'")
        return
    rng = np.random.default_rng(0)
    truth = random_truth(rng, pictures)
    found = random_detections(rng, truth, pictures)
    evaluator = CocoEvaluator(truth)
    yield Case(
        name,
        "pycocotools",
        partial(_ours, evaluator, found),
        partial(_pycocotools, _loaded(truth), _results(truth, found)),
        difference,
        target=30,
        torch_memory=False,
        rounds=3,
    )


def difference(ours: Numbers, baseline: Numbers) -> str:
    """How many of the twelve are equal to the last bit, and the largest difference of the others."""
    numbers = [value for value in baseline.values() if value is not None]
    if not numbers:
        raise ValueError("no numbers to compare")
    gaps = [_gap(ours[name], baseline[name]) for name in COCO_METRICS]
    equal = sum(gap == 0 for gap in gaps)
    rest = "" if equal == len(gaps) else f", largest difference {max(gaps):.0e}"
    return f"{equal} of {len(gaps)} numbers equal (AP {baseline['AP']:.3f}){rest}"


def random_truth(rng: np.random.Generator, pictures: int) -> GroundTruth:
    """Boxes of COCO's number, sizes and share of crowds, in pictures of one size."""
    counts = rng.geometric(1 / (1 + BOXES), pictures) - 1
    total = int(counts.sum())
    side = np.exp(rng.normal(4.0, 1.0, (total, 2))).clip(4, [WIDTH, HEIGHT])
    corner = rng.random((total, 2)) * ([WIDTH, HEIGHT] - side)
    return GroundTruth(
        image_ids=np.arange(1, pictures + 1),
        heights=np.full(pictures, HEIGHT),
        widths=np.full(pictures, WIDTH),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([corner, corner + side], axis=1),
        labels=rng.integers(0, CLASSES, total),
        crowd=rng.random(total) < CROWD,
        area=side.prod(axis=1) * 0.7,
        classes=ClassNames(tuple(f"class {k}" for k in range(CLASSES)), tuple(range(1, CLASSES + 1))),
    )


Found = list[tuple[int, Array, Array, Array]]
"""Picture id, boxes [D, 4] xyxy, scores [D] and labels [D] of each picture."""


def random_detections(rng: np.random.Generator, truth: GroundTruth, pictures: int) -> Found:
    """Of the first pictures, a fair detector's: shaken copies of every box, the nearer the surer, and others."""
    found = []
    for place, image_id in enumerate(truth.image_ids[:pictures].tolist()):
        span = slice(truth.offsets[place], truth.offsets[place + 1])
        boxes = np.repeat(truth.boxes[span], 3, axis=0)[:DETECTIONS]
        labels = np.repeat(truth.labels[span], 3)[:DETECTIONS]
        side = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        shake = rng.normal(0, JITTER, boxes.shape) * rng.exponential(1.0, (len(boxes), 1))
        stray = DETECTIONS - len(boxes)
        corner = rng.random((stray, 2)) * [WIDTH - 40, HEIGHT - 40]
        boxes = np.concatenate([boxes + shake * side, np.concatenate([corner, corner + 40], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = np.concatenate([labels, rng.integers(0, CLASSES, stray)])
        score = np.concatenate([np.exp(-8 * np.abs(shake).mean(axis=1)) * rng.random(len(shake)) ** 0.3,
                                rng.random(stray) ** 3])  # fmt: skip
        found.append((image_id, boxes, score, labels))
    return found


def _ours(evaluator: CocoEvaluator, found: Found) -> Numbers:
    evaluator.reset()
    for picture in found:
        evaluator.add(*picture)
    return evaluator.compute()


def _pycocotools(truth: Any, results: Array) -> Numbers:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [None if value == -1 else float(value) for value in evaluation.stats]
    return dict(zip(COCO_METRICS, numbers, strict=True))


def _loaded(truth: GroundTruth) -> Any:
    """The ground truth as pycocotools keeps it."""
    from pycocotools.coco import COCO

    pictures = np.repeat(truth.image_ids, np.diff(truth.offsets)).tolist()
    columns = (
        pictures,
        truth.labels.tolist(),
        to_xywh(truth.boxes).tolist(),
        truth.area.tolist(),
        truth.crowd,
    )
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in truth.image_ids.tolist()],
        "categories": [{"id": i, "name": n} for n, i in zip(*truth.classes, strict=True)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": k + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for n, (i, k, box, area, crowd) in enumerate(zip(*columns, strict=True), start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _results(truth: GroundTruth, found: Found) -> Array:
    """[D, 7] picture id, x, y, w, h, score, class id: the array that pycocotools loads."""
    ids = np.asarray(truth.classes.ids)
    parts = [
        np.column_stack([np.full(len(scores), i), to_xywh(boxes), scores, ids[labels]])
        for i, boxes, scores, labels in found
    ]
    return np.concatenate(parts)


def _gap(ours: float | None, its: float | None) -> float:
    if ours is None or its is None:
        return 0.0 if ours is its else float("inf")
    return abs(ours - its)
