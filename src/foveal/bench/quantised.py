"""Row: what int8 costs in average precision, on a trained model and its labelled pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

from foveal.bench.case import Absent, Case, Setup
from foveal.checkpoint.format import load_checkpoint
from foveal.data.records import Records
from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.intervals import SAMPLES, paired_difference
from foveal.ops.letterbox import undo_boxes
from foveal.runtime.backends import accelerate, missing_packages
from foveal.runtime.calibration import calibration_images
from foveal.runtime.lazy_model import LazyModel
from foveal.runtime.model_file import canvas_of, load_inference
from foveal.runtime.pictures import place_picture
from foveal.runtime.validation_set import validation_set
from foveal.types import GroundTruth

QUICK_PICTURES = 4
QUICK_SAMPLES = 5


class Outcome(NamedTuple):
    """Detections on all pictures, and the labels."""

    truth: GroundTruth
    found: DetectionColumns


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """The model of ``--checkpoint`` on its validation set: OpenVINO in bytes beside torch in float32."""
    name = "AP of OpenVINO int8"
    missing = missing_packages("openvino", "int8")
    if missing:
        yield Absent(name, f"no {', '.join(missing)}: pip install 'foveal[export]'")
        return
    if setup.checkpoint is None:
        yield Absent(name, "needs a trained model: --checkpoint best.safetensors")
        return
    checkpoint = load_checkpoint(setup.checkpoint)
    canvas = canvas_of(checkpoint.header)
    records = validation_set(checkpoint.header, setup.checkpoint, setup.data)
    count = min(len(records), QUICK_PICTURES) if setup.quick else len(records)
    plain = load_inference(checkpoint, setup.checkpoint)
    images = calibration_images(checkpoint.header, canvas)
    quantised = accelerate(plain, "openvino", "int8", calibration=images)
    yield Case(
        f"{name}, {setup.checkpoint.name} on {count} pictures",
        "Foveal, torch fp32",
        partial(evaluate, quantised, records, canvas, count),
        partial(evaluate, accelerate(plain), records, canvas, count),
        partial(difference, QUICK_SAMPLES if setup.quick else SAMPLES),
        target=None,
        torch_memory=False,
        rounds=1,
    )


@torch.inference_mode()
def evaluate(model: LazyModel, records: Records, canvas: tuple[int, int], count: int) -> Outcome:
    """Detections on the first ``count`` pictures, one by one."""
    truth = records.ground_truth()
    evaluator = CocoEvaluator(truth)
    for picture in range(count):
        image, letterbox = place_picture(records.load(picture), canvas)
        found = model(image[None])
        kept = int(found.count[0])
        boxes = undo_boxes(found.boxes[0, :kept], letterbox)
        image_id = int(truth.image_ids[picture])
        evaluator.add(image_id, boxes, found.scores[0, :kept], found.labels[0, :kept])
    return Outcome(truth, evaluator.columns())


def difference(samples: int, ours: Outcome, baseline: Outcome) -> str:
    """AP of both sides, and the difference with its interval. ValueError where a side found nothing."""
    if not len(ours.found.scores) or not len(baseline.found.scores):
        raise ValueError(
            f"{len(ours.found.scores)} and {len(baseline.found.scores)} detections: no comparison"
        )
    change = paired_difference(ours.truth, baseline.found, ours.found, samples=samples)
    before = CocoEvaluator(ours.truth)
    before.merge([baseline.found])
    old = before.compute()["AP"]
    assert old is not None
    return (
        f"AP {old:.4f} -> {old + change.value:.4f}: {change.value:+.4f}, "
        f"95 % of {samples} draws in {change.low:+.4f} to {change.high:+.4f}"
    )
