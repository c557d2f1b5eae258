"""What every head family must do. A family is done when this file is green on it.

A new family adds one line to ``FAMILIES``: how to make its head, its criterion and its decoder, and outputs
that are perfect for given targets.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from foveal.heads import HEADS
from foveal.heads.anchor_decoupled import AnchorCriterion, AnchorDecoder, AnchorDecoupledHead
from foveal.heads.anchor_decoupled.criterion import focal, quality_focal
from foveal.heads.anchor_decoupled.targets import assign
from foveal.models.detector import Detector
from foveal.models.fpn import FeaturePyramid
from foveal.ops.box_coder import encode_boxes
from foveal.ops.matcher import match_iou
from foveal.ops.nms import suppress
from foveal.types import BatchDetections, Candidates, Criterion, Decoder, HeadOutputs, Target

CANVAS = (96, 160)
STRIDES = (8, 16, 32, 64)
CLASSES = 4
NORMS = ("none", "batch_norm", "group_norm", "instance_norm")


class Family(NamedTuple):
    """How to make the rooms of one head family."""

    head: Callable[[int, str], nn.Module]
    """(in_channels, norm_type) -> network over STRIDES and CLASSES."""
    criteria: dict[str, Criterion]
    decoder: Decoder
    perfect: Callable[[Any, Sequence[Target]], Any]
    """(outputs, targets) -> outputs of a network that has learnt these targets."""


def _anchor_head(in_channels: int, norm_type: Any) -> nn.Module:
    sizes = [[4.0 * s, 5.0 * s] for s in STRIDES]
    return AnchorDecoupledHead(
        in_channels,
        CLASSES,
        STRIDES,
        sizes,
        num_layers=1,
        norm_type=norm_type,
        prior_prob=0.05,
    )


def _anchor_perfect(outputs: HeadOutputs, targets: Sequence[Target]) -> HeadOutputs:
    found = assign(outputs.anchors, targets, match_iou)
    labels = found.labels
    logits = torch.full((*labels.shape, CLASSES), -9.0)
    deltas = torch.zeros(*labels.shape, 4)
    picture, place = torch.nonzero(labels >= 0, as_tuple=True)
    anchors = torch.cat([level.boxes for level in outputs.anchors])
    logits[picture, place, labels[picture, place]] = 4.0
    deltas[picture, place] = encode_boxes(found.boxes[found.box[picture, place]], anchors[place])
    sizes = [len(level.boxes) for level in outputs.anchors]
    return HeadOutputs(logits.split(sizes, 1), deltas.split(sizes, 1), outputs.anchors)


FAMILIES = {
    "anchor_decoupled_head": Family(
        _anchor_head,
        {
            "focal": AnchorCriterion(match_iou, focal()),
            "quality": AnchorCriterion(match_iou, quality_focal(), box_loss="giou"),
            "per picture": AnchorCriterion(match_iou, focal(), normalizer="image_positives"),
        },
        AnchorDecoder(),
        _anchor_perfect,
    )
}


class Stem(nn.Module):
    """A backbone of a few channels with maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 8, 8)
        self.rest = nn.ModuleList(nn.Conv2d(16, 16, 2, 2) for _ in range(2))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.first(x).relu()]
        for conv in self.rest:
            maps.append(conv(maps[-1]).relu())
        return maps


class Inference(nn.Module):
    """Detector and decoder: all of the graph that has fixed sizes."""

    def __init__(self, detector: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.detector = detector
        self.decoder = decoder

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.decoder(self.detector(images), (images.shape[-2], images.shape[-1]))
        return found.boxes, found.scores, found.labels


def make_detector(family: Family, norm: str = "none") -> Detector:
    torch.manual_seed(0)
    neck = FeaturePyramid((16, 16, 16), 16, len(STRIDES))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    detector = Detector(Stem(), neck, family.head(16, norm), STRIDES, mean, std)
    with torch.no_grad():  # wide logits, so that thresholds and top-k have something to tell apart
        for name, parameter in detector.head.named_parameters():
            if name.endswith("weight") and parameter.ndim == 4:
                parameter.mul_(12)
    return detector


def pictures(batch: int, size: tuple[int, int] = CANVAS) -> Tensor:
    torch.manual_seed(1)
    return torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8)


def target(rows: Sequence[tuple[float, ...]], labels: Sequence[int], crowd: bool = False) -> Target:
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return Target(boxes, torch.tensor(labels, dtype=torch.int64), torch.full((len(labels),), crowd))


SOME = target([(8, 8, 50, 40), (90, 20, 150, 90), (60, 50, 75, 70)], [0, 3, 1])
EMPTY = target([], [])
CROWD = target([(0, 0, 100, 90)], [2], crowd=True)


@pytest.fixture(params=sorted(HEADS))
def family(request: pytest.FixtureRequest) -> Family:
    name = request.param
    assert name in FAMILIES, f"head family {name} has no line in FAMILIES of tests/contracts/test_heads.py"
    return FAMILIES[name]


def losses_of(family: Family, detector: nn.Module, targets: Sequence[Target]) -> dict[str, dict[str, Tensor]]:
    outputs = detector(pictures(len(targets)))
    return {name: criterion(outputs, targets).losses for name, criterion in family.criteria.items()}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "targets", [(EMPTY, EMPTY), (CROWD, CROWD), (SOME, EMPTY, CROWD)], ids=["empty", "only crowd", "mixed"]
)
def test_loss_is_finite_and_every_parameter_gets_a_gradient(
    family: Family, norm: str, targets: tuple[Target, ...]
) -> None:
    detector = make_detector(family, norm).train()
    for name, losses in losses_of(family, detector, targets).items():
        assert all(loss.isfinite() for loss in losses.values()), (name, losses)
        detector.zero_grad()
        torch.stack(list(losses.values())).sum().backward(retain_graph=True)
        missing = [n for n, p in detector.named_parameters() if p.grad is None]
        assert not missing, f"{name}: no gradient for {missing}"
        assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None), name


def test_objects_move_every_parameter(family: Family) -> None:
    detector = make_detector(family).train()
    for name, losses in losses_of(family, detector, (SOME, SOME)).items():
        detector.zero_grad()
        torch.stack(list(losses.values())).sum().backward(retain_graph=True)
        idle = [n for n, p in detector.named_parameters() if p.grad is None or not (p.grad != 0).any()]
        assert not idle, f"{name}: {idle}"


def test_decoding_encoded_targets_returns_the_boxes(family: Family) -> None:
    targets = [SOME, EMPTY, target([(3.5, 2.25, 158, 91)], [2])]
    outputs = make_detector(family)(pictures(3))
    found = suppress(family.decoder(family.perfect(outputs, targets), CANVAS), 0.5)
    for i, wanted in enumerate(targets):
        count = int(found.count[i])
        assert count == len(wanted.boxes)
        order = found.labels[i, :count].argsort()
        expected = wanted.labels.argsort()
        assert torch.equal(found.labels[i, :count][order], wanted.labels[expected])
        torch.testing.assert_close(found.boxes[i, :count][order], wanted.boxes[expected], rtol=0, atol=1e-3)


def test_perfect_outputs_cost_less_than_random_ones(family: Family) -> None:
    detector = make_detector(family)
    outputs = detector(pictures(1))
    perfect = family.perfect(outputs, [SOME])
    for name, criterion in family.criteria.items():
        worse, better = criterion(outputs, [SOME]).losses, criterion(perfect, [SOME]).losses
        assert sum(better.values()) < 0.1 * sum(worse.values()), name


@pytest.mark.parametrize("norm", NORMS)
def test_a_batch_equals_its_pictures_one_by_one(family: Family, norm: str) -> None:
    model = Inference(make_detector(family, norm).eval(), family.decoder).eval()
    images = pictures(3)
    with torch.no_grad():
        together = model(images)
        assert (together[1] > 0).sum() > 100
        for i in range(3):
            alone = model(images[i : i + 1])
            same_candidates([x[i : i + 1] for x in together], alone)


def test_nothing_is_remembered_between_pictures(family: Family) -> None:
    model = Inference(make_detector(family).eval(), family.decoder)
    images = pictures(1)
    with torch.no_grad():
        first = model(images)
        model(pictures(2, (160, 64)))
        assert all(torch.equal(a, b) for a, b in zip(first, model(images), strict=True))


def detections(candidates: Sequence[Tensor]) -> BatchDetections:
    boxes, scores, labels = candidates
    return suppress(Candidates(boxes, scores, labels), detections_per_img=300)


def same_candidates(found: Sequence[Tensor], expected: Sequence[Tensor], atol: float = 1e-3) -> None:
    """Equal after NMS, matched by rank: ties inside float rounding may change places."""
    ours, theirs = detections(found), detections(expected)
    assert torch.equal(ours.count, theirs.count)
    assert ours.count.min() > 5
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)
    same = (ours.boxes - theirs.boxes).abs().amax(dim=-1) <= atol
    assert (same & (ours.labels == theirs.labels)).float().mean() > 0.99


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_equals_eager(family: Family) -> None:
    """As one graph: a break would leave part of it slow, and could not be exported."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    model = Inference(make_detector(family).eval(), family.decoder).eval()
    images = pictures(2)
    with torch.no_grad():
        expected = model(images)
        compiled = torch.compile(model, fullgraph=True)
        same_candidates(compiled(images), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_onnx_equals_eager(family: Family, tmp_path: Path) -> None:
    """Also on another picture size than the one it was exported with."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = Inference(make_detector(family).eval(), family.decoder).eval()
    path = tmp_path / "model.onnx"
    height, width = (32 * torch.export.Dim(name, min=2, max=64) for name in ("h", "w"))
    torch.onnx.export(
        model, (pictures(1),), path, dynamo=True, verbose=False,
        input_names=["images"], output_names=["boxes", "scores", "labels"],
        dynamic_shapes=({2: height, 3: width},),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (CANVAS, (160, 64), (64, 64)):
        images = pictures(1, size)
        found = [torch.from_numpy(x) for x in session.run(None, {"images": images.numpy()})]
        with torch.no_grad():
            same_candidates(found, model(images))
