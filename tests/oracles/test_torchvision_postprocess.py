"""Decoder and NMS against torchvision's RetinaNet.postprocess_detections: identical detections."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.retinanet import RetinaNet

from foveal.heads.anchor_decoupled import AnchorDecoder
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.nms import suppress
from foveal.types import BatchDetections, HeadOutputs

CANVAS = (160, 224)


def random_outputs(classes: int, batch: int = 2, mean: float = -4.0, seed: int = 0) -> HeadOutputs:
    """Outputs of five levels whose logits are all different, so that no order is left to chance."""
    generator = torch.Generator().manual_seed(seed)
    levels = []
    for i in range(5):
        stride = 8 * 2**i
        cell = cell_anchors([stride * 4.0, stride * 5.0], [0.5, 1.0, 2.0])
        levels.append(grid_anchors(cell, stride, -(-CANVAS[0] // stride), -(-CANVAS[1] // stride)))
    sizes = [len(level.boxes) for level in levels]
    values = torch.linspace(mean - 3, mean + 4.5, batch * sum(sizes) * classes)
    logits = values[torch.randperm(len(values), generator=generator)].view(batch, sum(sizes), classes)
    deltas = torch.randn(batch, sum(sizes), 4, generator=generator) * torch.tensor([0.3, 0.3, 0.4, 0.4])
    return HeadOutputs(logits.split(sizes, dim=1), deltas.split(sizes, dim=1), tuple(levels))


def torchvision_detections(
    outputs: HeadOutputs, score_thresh: float, topk: int, nms_thresh: float, limit: int
) -> list[dict[str, Tensor]]:
    settings = SimpleNamespace(
        score_thresh=score_thresh,
        topk_candidates=topk,
        nms_thresh=nms_thresh,
        detections_per_img=limit,
        box_coder=BoxCoder((1.0, 1.0, 1.0, 1.0)),
    )
    raw = {"cls_logits": list(outputs.cls_logits), "bbox_regression": list(outputs.bbox_deltas)}
    batch = len(outputs.cls_logits[0])
    anchors = [[level.boxes for level in outputs.anchors]] * batch
    return RetinaNet.postprocess_detections(settings, raw, anchors, [CANVAS] * batch)


def assert_identical(found: BatchDetections, expected: list[dict[str, Tensor]], least: int) -> None:
    for i, picture in enumerate(expected):
        count = int(found.count[i])
        assert count == len(picture["scores"])
        assert count >= least, f"only {count} detections: the comparison says little"
        assert torch.equal(found.labels[i, :count], picture["labels"])
        torch.testing.assert_close(found.scores[i, :count], picture["scores"], rtol=1e-6, atol=0)
        torch.testing.assert_close(found.boxes[i, :count], picture["boxes"], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("classes", [1, 3, 91])
@pytest.mark.parametrize(
    ("score_thresh", "topk", "nms_thresh", "limit"),
    [
        (0.05, 1000, 0.5, 100),
        (0.05, 1000, 0.45, 300),
        (0.2, 50, 0.3, 20),
        (0.01, 4000, 0.6, 1000),
        (0.0, 100, 0.5, 50),
    ],
)
def test_identical_detections(
    classes: int, score_thresh: float, topk: int, nms_thresh: float, limit: int
) -> None:
    outputs = random_outputs(classes)
    found = suppress(AnchorDecoder(topk, score_thresh)(outputs, CANVAS), nms_thresh, detections_per_img=limit)
    expected = torchvision_detections(outputs, score_thresh, topk, nms_thresh, limit)
    assert_identical(found, expected, least=min(limit, 20))


def test_hundreds_of_survivors_among_many_candidates() -> None:
    """Enough candidates that the first prefix of NMS does not fill the limit."""
    outputs = random_outputs(3, mean=-1.0, seed=2)
    candidates = AnchorDecoder(3000, 0.05)(outputs, CANVAS)
    assert (candidates.scores > 0).sum(dim=1).min() > 3000
    found = suppress(candidates, 0.5, detections_per_img=2000)
    assert_identical(found, torchvision_detections(outputs, 0.05, 3000, 0.5, 2000), least=200)


def test_nothing_above_the_threshold() -> None:
    outputs = random_outputs(3, mean=-12.0)
    assert suppress(AnchorDecoder()(outputs, CANVAS)).count.tolist() == [0, 0]
    assert all(len(p["scores"]) == 0 for p in torchvision_detections(outputs, 0.05, 1000, 0.5, 100))


def test_class_agnostic() -> None:
    outputs = random_outputs(3, batch=1)
    candidates = AnchorDecoder()(outputs, CANVAS)
    found = suppress(candidates, 0.5, class_agnostic=True)
    boxes, scores = candidates.boxes[0], candidates.scores[0]
    alive = torch.nonzero(scores > 0).flatten()
    keep = alive[torchvision.ops.nms(boxes[alive], scores[alive], 0.5)][:100]
    count = int(found.count[0])
    assert 10 < count == len(keep)
    assert torch.equal(found.boxes[0, :count], boxes[keep])
    assert torch.equal(found.labels[0, :count], candidates.labels[0, keep])
    assert count < suppress(candidates, 0.5, detections_per_img=1000).count[0]
