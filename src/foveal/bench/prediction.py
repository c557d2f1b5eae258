"""Rows: a whole prediction of an 800 x 1344 picture by RetinaNet-R50, pixels in -> boxes out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet

from foveal.bench.case import Absent, Case, Setup
from foveal.bench.twins import make_foveal, make_picture, make_torchvision, to_float
from foveal.metrics.agreement import RANDOM_R50, Found, Limits, compare, match
from foveal.runtime.backends import accelerate, missing_packages
from foveal.runtime.pictures import place_picture
from foveal.types import Array, BatchDetections

SIZE, QUICK_SIZE = (800, 1344), (256, 320)
"""Height and width: multiples of 32, so that neither side resizes or pads."""
SPARSE = 0.3
"""Textured part of the picture with few candidates: nothing passes the threshold outside it."""
CALIBRATION_SHARES = (1.0, 0.6)


class Variant(NamedTuple):
    """One way to run our model."""

    backend: str
    precision: str
    target: float | None = None


DENSE = (
    Variant("torch", "fp32", 1.4),
    Variant("openvino", "fp32", 1.9),
    Variant("onnxruntime", "fp32"),
    Variant("torch", "bf16"),
    Variant("openvino", "bf16", 3.4),
    Variant("openvino", "int8", 6.5),
)
FEW = tuple(variant._replace(target=None) for variant in DENSE)
GPU = (Variant("torch", "fp32"), Variant("torch", "bf16"))


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """Every way to run the same weights: on a picture full of candidates, and on one with few."""
    height, width = QUICK_SIZE if setup.quick else SIZE
    picture = make_picture(height, width)
    theirs = make_torchvision(picture)
    model = make_foveal(theirs)
    theirs.to(setup.device)
    calibration = [_on_canvas(make_picture(*QUICK_SIZE, share)) for share in CALIBRATION_SHARES]
    dense, few = (DENSE, FEW) if setup.device == "cpu" else (GPU, GPU)
    for scene, textured, variants in (("", 1.0, dense), (", few candidates", SPARSE, few)):
        pixels = make_picture(height, width, textured)
        for variant in variants:
            name = f"prediction {height} x {width}, {variant.backend} {variant.precision}{scene}"
            missing = missing_packages(variant.backend, variant.precision)
            if missing:
                yield Absent(name, f"no {', '.join(missing)}: pip install 'foveal[export]'")
                continue
            device = torch.device(setup.device)
            fast = accelerate(model, variant.backend, variant.precision, device, calibration)
            yield Case(
                name,
                "torchvision",
                partial(predict, fast, pixels, device),
                partial(predict_torchvision, theirs, pixels, device, _amp(setup, variant)),
                partial(difference, limits_of(theirs), variant.precision),
                target=variant.target if setup.device == "cpu" else None,
                torch_memory=variant.backend == "torch",
                rounds=5,
            )


@torch.inference_mode()
def predict(model: nn.Module, picture: Array, device: torch.device) -> BatchDetections:
    """Our side: as ``Predictor`` does it."""
    canvas = picture.shape[0], picture.shape[1]
    found: BatchDetections = model(place_picture(picture, canvas)[0][None].to(device))
    return found


@torch.inference_mode()
def predict_torchvision(
    model: RetinaNet, picture: Array, device: torch.device, amp: bool = False
) -> dict[str, Tensor]:
    """Their side. amp: autocast, the way torchvision's references run on a GPU."""
    with torch.autocast(device.type, torch.bfloat16, enabled=amp):
        found: dict[str, Tensor] = model([to_float(picture).to(device)])[0]
    return found


def difference(limits: Limits, precision: str, ours: BatchDetections, theirs: dict[str, Tensor]) -> str:
    """In fp32 the agreement by the tolerance; otherwise how much of the list is there, and how far off."""
    count = int(ours.count[0])
    mine = Found(*(x[0, :count].cpu() for x in (ours.boxes, ours.scores, ours.labels)))
    other = Found(*(theirs[key].cpu() for key in ("boxes", "scores", "labels")))
    agreement = compare(mine, other, RANDOM_R50, limits)
    if precision == "fp32":
        return str(agreement)
    found, expected = match(mine, other, 0.5)
    off = (mine.scores[found] - other.scores[expected]).abs()
    return f"{len(found)} of {len(other.scores)} detections at IoU 0.5, score {off.median():.0e} off in the middle"


def limits_of(theirs: RetinaNet) -> Limits:
    """The settings that both sides have."""
    return Limits(theirs.score_thresh, theirs.nms_thresh, theirs.detections_per_img)


def _on_canvas(picture: Array) -> Tensor:
    return place_picture(picture, (picture.shape[0], picture.shape[1]))[0][None]


def _amp(setup: Setup, variant: Variant) -> bool:
    return setup.device != "cpu" and variant.precision == "bf16"
