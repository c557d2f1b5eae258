"""What is made larger and larger: pictures, boxes, classes, data sets."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveal.bench.evaluation import random_detections, random_truth
from foveal.bench.focal_loss import random_logits
from foveal.bench.growth import Subject, Work
from foveal.bench.matching import HEIGHT, WIDTH, coco_like_boxes, retinanet_levels
from foveal.bench.postprocess import postprocess, random_outputs
from foveal.build import build_detector, build_inference
from foveal.config import schema
from foveal.data.coco import read_coco
from foveal.data.sampler import BatchSampler
from foveal.metrics.coco import CocoEvaluator
from foveal.ops.atss import match_atss
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.matcher import match_iou
from foveal.types import GroundTruth

AREA, BOXES, CLASSES, PICTURES = (
    "picture area, pixels",
    "boxes in a picture",
    "classes",
    "pictures in the data set",
)
SIDES = (64, 128, 256, 512, 800, 1152, 1600)
BOX_COUNTS = (1, 4, 16, 64, 250, 500, 1000, 2000)
CLASS_COUNTS = (1, 3, 10, 30, 80, 200, 400, 800, 1203)
"""1,203: LVIS."""
PICTURE_COUNTS = (100, 1_000, 10_000, 100_000, 1_000_000)
CLASS_CANVAS = (256, 320)
"""Height and width of the canvas whose anchors are scored for more and more classes."""
LOOKED_AT = 0.01
"""Share of the pictures that the evaluated detections belong to; the boxes of the others are missed."""
LINKS = 50_000
"""Names that one file is given at most; file systems have a limit."""
MODEL = {
    "architecture": {
        "backbone": {"name": "mobilenetv3_small_050", "params": {"weights": None}},
        "neck": {"params": {"out_channels": 64}},
    },
    "postprocessor": {"params": {"score_thresh": 0.0}},
}
"""A small network; every score passes, so that NMS has all it can have to do."""


def subjects(folder: Path, quick: bool = False) -> list[Subject]:
    """Everything that is drawn. folder: for the files of a generated data set; quick: the small sizes alone."""
    boxes = ("matching by IoU", match_iou), ("matching by ATSS", match_atss)
    every = [
        Subject(AREA, "prediction, small MobileNetV3", tuple(side * side for side in SIDES), _prediction),
        *(Subject(BOXES, name, BOX_COUNTS, partial(_matching, rule)) for name, rule in boxes),
        Subject(CLASSES, "focal loss, forward + backward", CLASS_COUNTS, _loss),
        Subject(CLASSES, "postprocess", CLASS_COUNTS, _postprocess),
        Subject(PICTURES, "an epoch's order", PICTURE_COUNTS, _epoch, torch_memory=False),
        Subject(PICTURES, f"evaluation, {LOOKED_AT:.0%} looked at", PICTURE_COUNTS,
                _evaluation, torch_memory=False),
        Subject(PICTURES, "reading COCO JSON and pictures' headers", PICTURE_COUNTS,
                partial(_reading, folder), torch_memory=False),
    ]  # fmt: skip
    return [subject._replace(sizes=subject.sizes[:3]) for subject in every] if quick else every


def _prediction(area: int) -> Work:
    torch.manual_seed(0)
    model = schema.Model.model_validate(MODEL)
    detector = build_detector(model, num_classes=20, pretrained=False)
    inference = build_inference(detector, model).eval()
    inference.to(memory_format=torch.channels_last)
    side = round(area**0.5)
    picture = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    return torch.no_grad()(partial(inference, picture.to(memory_format=torch.channels_last)))


def _matching(rule: Callable[..., Tensor], count: int) -> Work:
    return partial(rule, retinanet_levels(HEIGHT, WIDTH), coco_like_boxes(count, HEIGHT, WIDTH))


def _loss(classes: int) -> Work:
    anchors = sum(len(level.boxes) for level in retinanet_levels(*CLASS_CANVAS))
    logits, labels = random_logits(anchors, classes)
    logits.requires_grad_()
    return lambda: torch.autograd.grad(sigmoid_focal_loss(logits, labels), logits)


def _postprocess(classes: int) -> Work:
    levels = retinanet_levels(*CLASS_CANVAS)
    entries = sum(len(level.boxes) for level in levels) * classes
    return partial(postprocess, random_outputs(levels, classes, entries // 50), CLASS_CANVAS)


def _reading(folder: Path, pictures: int) -> Work:
    """COCO's number of boxes in each picture; the pictures are hard links to a few files."""
    rng = np.random.default_rng(0)
    truth = random_truth(rng, pictures)
    root = Path(tempfile.mkdtemp(dir=folder))
    for start in range(0, pictures, LINKS):
        first = root / f"{start}.png"
        Image.new("RGB", (64, 48)).save(first)
        for number in range(start + 1, min(start + LINKS, pictures)):
            os.link(first, root / f"{number}.png")
    labels = root / "labels.json"
    with labels.open("w") as file:
        file.writelines(_coco_text(truth))
    return partial(read_coco, labels)


def _coco_text(truth: GroundTruth) -> Iterator[str]:
    """A COCO file piece by piece: a million pictures would not fit in memory twice."""
    names = zip(truth.classes.ids, truth.classes.names, strict=True)
    yield json.dumps({"categories": [{"id": i, "name": name} for i, name in names]})[:-1]
    yield ', "images": ['
    for number, image_id in enumerate(truth.image_ids.tolist()):
        comma = "," if number else ""
        yield f'{comma}{{"id": {image_id}, "file_name": "{number}.png", "height": 48, "width": 64}}'
    yield '], "annotations": ['
    holders = np.repeat(truth.image_ids, np.diff(truth.offsets)).tolist()
    for number, (image_id, label) in enumerate(zip(holders, truth.labels.tolist(), strict=True)):
        comma = "," if number else ""
        yield (
            f'{comma}{{"id": {number + 1}, "image_id": {image_id}, "category_id": {label + 1}, '
            '"bbox": [1, 2, 30, 20], "iscrowd": 0}'
        )
    yield "]}"


def _epoch(pictures: int) -> Work:
    sampler = BatchSampler(pictures, 16, (640, 640), weights=np.linspace(1, 3, pictures))

    def read_through() -> int:
        return sum(len(batch) for batch in itertools.islice(sampler, len(sampler)))

    return read_through


def _evaluation(pictures: int) -> Work:
    rng = np.random.default_rng(0)
    truth = random_truth(rng, pictures)
    found = random_detections(rng, truth, pictures=max(1, round(pictures * LOOKED_AT)))

    def evaluate() -> dict[str, float | None]:
        evaluator = CocoEvaluator(truth)
        for picture in found:
            evaluator.add(*picture)
        return evaluator.compute()

    return evaluate
