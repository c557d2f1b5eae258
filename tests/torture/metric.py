"""R9 whole: 1,000 random sets through the evaluator, as ``foveal evaluate`` drives it, against pycocotools.

Ten kinds of set, each of them a way in which a metric goes wrong unseen. Detections come as a network gives them,
float32 on a canvas with rubbish in the empty places, and go through the letterbox; labels come from a COCO file
where a file can hold them, else straight as ground truth. All 12 numbers have to be the same float.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from frame import Place, Verdict
from metric_kinds import IN_A_FILE, KINDS, SIDE, Change, Found, at_thresholds, borders, many
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from test_pycocotools import coco_dict, oracle, random_truth

from foveal.config.schema import Model
from foveal.data.coco import read_coco
from foveal.data.records import Records
from foveal.errors import DivergedError
from foveal.metrics.coco import CocoEvaluator
from foveal.ops.letterbox import fit_letterbox
from foveal.runtime.tiled_evaluation import coco_evaluator
from foveal.types import Batch, BatchDetections, GroundTruth
from foveal.verbs.evaluate import run_evaluation

CASES = 1000
IN_A_BATCH = 3


# ---------------------------------------------------------------- one set


def near(truth: GroundTruth, rng: np.random.Generator) -> list[Found]:
    """For each picture labels found well, badly, twice or not at all, and things found that are not there."""
    every = []
    for place in range(len(truth.image_ids)):
        span = slice(truth.offsets[place], truth.offsets[place + 1])
        boxes, labels = (np.repeat(part[span], 2, axis=0) for part in (truth.boxes, truth.labels))
        shake = rng.normal(0, rng.choice([0.0, 0.03, 0.15]), boxes.shape)
        boxes = boxes + shake * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        stray = rng.uniform(0, 500, (int(rng.integers(0, 8)), 2))
        boxes = np.concatenate([boxes, np.concatenate([stray, stray + rng.uniform(2, 140, stray.shape)], 1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        labels = np.concatenate([labels, rng.integers(0, len(truth.classes.names), len(stray))])
        kept = np.flatnonzero(rng.random(len(boxes)) < 0.8)
        scores = np.round(rng.random(len(kept)), int(rng.choice([1, 2, 6])))
        every.append(Found(boxes[kept], scores, labels[kept]))
    return every


def made(change: Change, rng: np.random.Generator) -> tuple[GroundTruth, list[Found]]:
    """A set of one kind."""
    truth = random_truth(rng)
    size = np.full(len(truth.image_ids), SIDE)
    truth = truth._replace(boxes=truth.boxes.clip(0, SIDE), heights=size, widths=size)
    return change(truth, near(truth, rng), rng)


def from_file(truth: GroundTruth, folder: Path) -> Records:
    """The labels as ``foveal evaluate`` gets them: written as a COCO file, and read."""
    content = coco_dict(truth)
    for image in content["images"]:
        image |= {"file_name": "one.png", "height": SIDE, "width": SIDE}
    for row, (x1, y1, x2, y2) in zip(content["annotations"], truth.boxes.tolist(), strict=True):
        assert row["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    file = folder / "labels.json"
    file.write_text(json.dumps(content))
    return read_coco(file, classes=truth.classes.names)


def as_records(truth: GroundTruth) -> Records:
    """The same without a file."""
    files = np.array([f"{number}.png" for number in range(len(truth.image_ids))])
    return Records(Path(), files, *truth)


def batches(records: Records, found: list[Found], scale: float) -> Iterator[tuple[Batch, BatchDetections]]:
    """What a loader gives, and what a network says of it."""
    for start in range(0, len(found), IN_A_BATCH):
        part = range(start, min(start + IN_A_BATCH, len(found)))
        sizes = [(int(records.heights[place]), int(records.widths[place])) for place in part]
        boxes_in = [
            fit_letterbox(h, w, (max(1, round(h * scale)), max(1, round(w * scale)))) for h, w in sizes
        ]
        most = max(len(found[place].scores) for place in part) + 2
        boxes = torch.full((len(part), most, 4), math.nan)
        scores, labels = torch.full((len(part), most), math.nan), torch.full((len(part), most), 77)
        count = torch.tensor([len(found[place].scores) for place in part])
        for row, place in enumerate(part):
            for into, values in zip((boxes, scores, labels), found[place], strict=True):
                into[row, : count[row]] = torch.from_numpy(np.asarray(values))
        ids = tuple(int(records.image_ids[place]) for place in part)
        images = torch.zeros(len(part), 3, 1, 1, dtype=torch.uint8)
        yield Batch(images, (), ids, tuple(boxes_in)), BatchDetections(boxes, scores, labels, count)


def ours(records: Records, pairs: list[tuple[Batch, BatchDetections]]) -> dict[str, float | None]:
    """The 12 numbers, by the function that ``foveal evaluate`` calls."""
    answers = iter([found for _, found in pairs])
    evaluator = coco_evaluator(records, Model().postprocessor.params)
    loader: Any = [batch for batch, _ in pairs]
    result = run_evaluation(
        lambda images: next(answers), loader, records, torch.device("cpu"), quiet=True, evaluator=evaluator
    )
    return result.metrics


def as_results(truth: GroundTruth, pairs: list[tuple[Batch, BatchDetections]]) -> list[dict[str, Any]]:
    """The same detections as a COCO results file has them, worked out here from the network's answers."""
    rows = []
    for batch, found in pairs:
        for place, (image_id, box_in) in enumerate(zip(batch.image_ids, batch.letterboxes, strict=True)):
            for row in range(int(found.count[place])):
                corners = [float(value) for value in found.boxes[place, row]]
                scale = (box_in.scale_x, box_in.scale_y) * 2
                limit = (box_in.width, box_in.height) * 2
                x1, y1, x2, y2 = (
                    min(max(c / s, 0.0), m) for c, s, m in zip(corners, scale, limit, strict=True)
                )
                category = truth.classes.ids[int(found.labels[place, row])]
                score = float(found.scores[place, row])
                box = [x1, y1, x2 - x1, y2 - y1]
                rows.append({"image_id": image_id, "category_id": category, "bbox": box, "score": score})
    return rows


# ---------------------------------------------------------------- the row


def run(place: Place) -> Verdict:
    """All sets; then what must be 0, and what must be refused."""
    Image.new("1", (SIDE, SIDE)).save(place.work / "one.png")
    equal, numbers, empty, largest, first = 0, 0, 0, 0.0, ""
    for case in range(CASES):
        rng = np.random.default_rng([place.seed, case])
        change = KINDS[case % len(KINDS)]
        truth, found = made(change, rng)
        records = from_file(truth, place.work) if change in IN_A_FILE else as_records(truth)
        scale = 1.0 if change in (borders, at_thresholds) else float(rng.choice([1.0, 0.5, 1.6, 0.37]))
        scaled = [one._replace(boxes=np.float32(one.boxes * scale)) for one in found]
        pairs = list(batches(records, scaled, scale))
        results = as_results(truth, pairs)
        empty += not results
        # pycocotools cannot load an empty list; a detection of nothing gives what none has to give.
        nothing = {"image_id": int(truth.image_ids[0]), "category_id": truth.classes.ids[0]}
        nothing |= {"bbox": [0.0, 0.0, 0.0, 0.0], "score": 0.5}
        expected = oracle(coco_dict(truth), results or [nothing])
        got = ours(records, pairs)
        equal += got == expected
        numbers += sum(value is not None for value in expected.values())
        if got != expected:
            gaps = [abs((got[name] or 0) - (expected[name] or 0)) for name in expected]
            largest = max(largest, *gaps)
            first = first or f"; first: case {case}, {change.__name__}"
    zero, refused = no_predictions(place.seed), not_finite(place.seed)
    found_text = (
        f"{equal} of {CASES} equal in all 12 ({numbers} numbers, {empty} sets without a detection), largest "
        f"difference {largest:g}{first}; without predictions 0.0 in {zero} of 100; NaN or infinite refused in "
        f"{refused} of 400"
    )
    return Verdict(equal == CASES and zero == 100 and refused == 400, found_text)


def no_predictions(seed: int) -> int:
    """Of 100 sets with something to find: how many give 0.0 where nothing is found."""
    good = 0
    for case in range(100):
        rng = np.random.default_rng([seed, case, 1])
        truth = random_truth(rng)
        while truth.crowd.all():
            truth = random_truth(rng)
        numbers = CocoEvaluator(truth).compute()
        values = {value for value in numbers.values() if value is not None}
        good += values == {0.0} and numbers["AP"] == numbers["AR100"] == 0.0
    return good


def not_finite(seed: int) -> int:
    """Of 100 sets, with one score or number of a box NaN or infinite each: how many are refused by the picture."""
    refused = 0
    for case in range(100):
        rng = np.random.default_rng([seed, case, 2])
        truth, found = made(many, rng)
        for column in ("scores", "boxes"):
            for bad in (math.nan, math.inf):
                batch, answer = next(batches(as_records(truth), found, 1.0))
                getattr(answer, column)[0, int(rng.integers(0, int(answer.count[0])))] = bad
                try:
                    CocoEvaluator(truth).update(answer, batch)
                except DivergedError as error:
                    refused += str(batch.image_ids[0]) in str(error)
    return refused
