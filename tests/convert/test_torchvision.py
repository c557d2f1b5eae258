"""torchvision's own RetinaNets, v1 and v2: a converted checkpoint gives their logits, deltas, anchors, detections.

Random weights with calibrated statistics (``foveal.bench.twins``), torchvision's anchor generator, real pictures.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import pytest
import torch
from tests.convert.conftest import CANVAS, Convert, batch
from torch import Tensor
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from torchvision.models.detection.image_list import ImageList

from foveal.bench.twins import calibrate, to_float
from foveal.convert.coco_names import COCO
from foveal.metrics.agreement import RANDOM_R50, Found, Limits, compare
from foveal.models.inference import InferenceModel
from foveal.types import Array, HeadOutputs

BUILDERS = {"v1": retinanet_resnet50_fpn, "v2": retinanet_resnet50_fpn_v2}
LEAST = 100
"""Detections of each picture over the threshold."""


class Pair(NamedTuple):
    """torchvision's model and ours."""

    theirs: RetinaNet
    ours: InferenceModel


@pytest.fixture(scope="module", params=BUILDERS)
def pair(request: pytest.FixtureRequest, pictures: list[Array], converted: Convert) -> Pair:
    torch.manual_seed(0)
    build = BUILDERS[request.param]
    theirs = build(
        weights=None, weights_backbone=None, num_classes=91, min_size=CANVAS[0], max_size=CANVAS[1]
    )
    calibrate(theirs, *pictures)
    return Pair(theirs, converted(theirs.state_dict(), keep_unnamed=True))


class Raw(NamedTuple):
    """torchvision's outputs before decoding, all levels together."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor


@torch.no_grad()
def outputs(pair: Pair, picture: Array) -> tuple[Raw, HeadOutputs]:
    """torchvision's and ours in float64, from the same normalised pixels, so that rounding hides nothing."""
    theirs, ours = deepcopy(pair.theirs).double(), deepcopy(pair.ours.detector).double()
    images: ImageList = theirs.transform([to_float(picture).double()])[0]
    pixels = ours.normalise(batch(picture))
    torch.testing.assert_close(images.tensors, pixels, rtol=0, atol=2e-6)
    features = list(theirs.backbone(pixels).values())
    heads = theirs.head(features)
    raw = Raw(heads["cls_logits"], heads["bbox_regression"], theirs.anchor_generator(images, features)[0])
    return raw, ours(batch(picture))


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """To ten digits, of outputs that are not all alike."""
    assert theirs.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_logits_and_deltas_of_every_level(pair: Pair, pictures: list[Array]) -> None:
    theirs, ours = outputs(pair, pictures[1])
    sizes = [level.shape[1] for level in ours.cls_logits]
    assert sizes == [9 * 32 * 40, 9 * 16 * 20, 9 * 8 * 10, 9 * 4 * 5, 9 * 2 * 3]
    for mine, other in zip(ours.cls_logits, theirs.logits.split(sizes, dim=1), strict=True):
        assert_same(mine, other)
    for mine, other in zip(ours.bbox_deltas, theirs.deltas.split(sizes, dim=1), strict=True):
        assert_same(mine, other)
    # On 256 x 320 its P7 cells are 128 x 106 pixels apart, where the stride is 128.
    assert torch.equal(torch.cat([level.boxes for level in ours.anchors]), theirs.anchors)
    assert ours.anchors[4].step == (128, 106)


def detections(pair: Pair, picture: Array) -> tuple[Found, Found]:
    """Ours and torchvision's."""
    with torch.no_grad():
        found, other = pair.ours(batch(picture)), pair.theirs([to_float(picture)])[0]
    n = int(found.count[0])
    ours = Found(found.boxes[0, :n], found.scores[0, :n], found.labels[0, :n])
    return ours, Found(other["boxes"], other["scores"], other["labels"])


def test_detections(pair: Pair, pictures: list[Array]) -> None:
    limits = Limits(pair.theirs.score_thresh, pair.theirs.nms_thresh, pair.theirs.detections_per_img)
    for picture in pictures[:2]:
        ours, theirs = detections(pair, picture)
        assert len(theirs.scores) >= LEAST
        agreement = compare(ours, theirs, RANDOM_R50, limits)
        assert agreement.pairs >= 0.97 * len(theirs.scores), str(agreement)
        assert agreement.different == 0, str(agreement)


def test_dropped_rows(pair: Pair, converted: Convert) -> None:
    """Without --keep-unnamed the class layer has the rows of the 80 classes, whose COCO ids they are."""
    theirs = pair.theirs.head.classification_head.cls_logits
    ours = converted(pair.theirs.state_dict()).detector.head.cls_logits  # type: ignore[union-attr]
    assert len(ours.bias) == 9 * 80  # type: ignore[arg-type,union-attr]
    for mine, other in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):  # type: ignore[union-attr]
        rows = other.unflatten(0, (9, 91))[:, list(COCO)]
        assert torch.equal(mine.unflatten(0, (9, 80)), rows)  # type: ignore[union-attr,operator]
