"""The criterion: its sums against a plain computation, its normalisers, its statistics."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from foveal.errors import ConfigWarning
from foveal.heads.anchor_decoupled import criterion as room
from foveal.heads.anchor_decoupled.criterion import (
    AnchorCriterion,
    cross_entropy,
    focal,
    fuses,
    quality_focal,
)
from foveal.heads.anchor_decoupled.targets import assign
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.box_coder import CornerCoder, decode_boxes, encode_boxes
from foveal.ops.focal_loss import quality_focal_loss, sigmoid_focal_loss
from foveal.ops.matcher import match_iou
from foveal.ops.mining import cross_entropy_of_anchors, hard_negatives
from foveal.types import BACKGROUND, IGNORE, HeadOutputs, Target

LEVELS = (
    grid_anchors(cell_anchors([16], [0.5, 1.0, 2.0]), 8, 8, 8),
    grid_anchors(cell_anchors([32], [0.5, 1.0, 2.0]), 16, 4, 4),
)
SIZES = [len(level.boxes) for level in LEVELS]
ANCHORS = torch.cat([level.boxes for level in LEVELS])
CLASSES = 3


def outputs_of(batch: int, seed: int = 0) -> HeadOutputs:
    torch.manual_seed(seed)
    logits = tuple(torch.randn(batch, n, CLASSES, dtype=torch.float64).requires_grad_() for n in SIZES)
    deltas = tuple((torch.randn(batch, n, 4, dtype=torch.float64) * 0.3).requires_grad_() for n in SIZES)
    return HeadOutputs(logits, deltas, LEVELS)


def targets_of(*counts: int) -> list[Target]:
    torch.manual_seed(5)
    found = []
    for count in counts:
        corner = torch.rand(count, 2) * 36
        boxes = torch.cat([corner, corner + torch.rand(count, 2) * 24 + 8], dim=1)
        found.append(Target(boxes, torch.randint(0, CLASSES, (count,)), torch.zeros(count, dtype=torch.bool)))
    return found


PAIRWISE = {
    "giou": torchvision.ops.generalized_box_iou,
    "diou": torchvision.ops.distance_box_iou,
    "ciou": torchvision.ops.complete_box_iou,
}


def picture_by_picture(outputs: HeadOutputs, targets: list[Target], box_loss: str, quality: bool) -> Tensor:
    """[B, 3]: class sum, box sum and number of objects of every picture, all levels joined."""
    rows = []
    for i, target in enumerate(targets):
        logits = torch.cat([x[i] for x in outputs.cls_logits])
        deltas = torch.cat([x[i] for x in outputs.bbox_deltas])
        matched = match_iou(LEVELS, target.boxes)
        labels = torch.where(
            matched >= 0, target.labels[matched.clamp(min=0)] if len(target.boxes) else 0, matched
        )
        objects = matched >= 0
        boxes, anchors = target.boxes[matched[objects]].double(), ANCHORS[objects].double()
        decoded = decode_boxes(deltas[objects], anchors)
        if box_loss in PAIRWISE:
            box = (1 - PAIRWISE[box_loss](decoded, boxes).diagonal()).sum()
        elif box_loss == "l1":
            box = (deltas[objects] - encode_boxes(boxes, anchors)).abs().sum()
        else:
            gap = (deltas[objects] - encode_boxes(boxes, anchors)).abs()
            box = torch.where(gap < 0.2, gap**2 / 0.4, gap - 0.1).sum()
        if quality:
            iou = torchvision.ops.box_iou(decoded, boxes).diagonal()
            cls = quality_focal_loss(logits, labels, iou)
        else:
            cls = sigmoid_focal_loss(logits, labels)
        rows.append(torch.stack([cls, box, objects.sum()]))
    return torch.stack(rows)


@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1", *PAIRWISE])
@pytest.mark.parametrize("quality", [False, True])
@pytest.mark.parametrize("normalizer", ["batch_positives", "image_positives"])
def test_losses_equal_the_plain_computation(box_loss: Any, quality: bool, normalizer: Any) -> None:
    outputs, targets = outputs_of(3), targets_of(4, 0, 2)
    criterion = AnchorCriterion(
        match_iou, quality_focal() if quality else focal(), 1.5, box_loss, 2.0, 0.2, normalizer
    )
    found = criterion(outputs, targets).losses
    plain = picture_by_picture(outputs, targets, box_loss, quality)
    assert plain[1, 2] == 0
    assert (plain[[0, 2], 2] >= 3).all()
    if normalizer == "batch_positives":
        cls, box = plain[:, 0].sum() / plain[:, 2].sum(), plain[:, 1].sum() / plain[:, 2].sum()
    else:
        per_picture = plain[:, :2] / plain[:, 2:].clamp(min=1)
        cls, box = per_picture.mean(dim=0)
    torch.testing.assert_close(found["cls"], cls * 1.5, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found["box"], box * 2.0, rtol=1e-5, atol=1e-6)
    leaves = [*outputs.cls_logits, *outputs.bbox_deltas]
    ours = torch.autograd.grad(found["cls"] + found["box"], leaves)
    theirs = torch.autograd.grad(cls * 1.5 + box * 2.0, leaves, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_alpha_per_class_reaches_the_loss() -> None:
    outputs, targets = outputs_of(1), targets_of(4)
    one = AnchorCriterion(match_iou, focal(0.25))(outputs, targets).losses["cls"]
    same = AnchorCriterion(match_iou, focal([0.25] * CLASSES))(outputs, targets).losses["cls"]
    other = AnchorCriterion(match_iou, focal([0.25, 0.9, 0.25]))(outputs, targets).losses["cls"]
    torch.testing.assert_close(one, same)
    assert not torch.isclose(one, other)


@pytest.mark.parametrize("alpha", [None, 0.75])
def test_cross_entropy_is_torchvisions(alpha: float | None) -> None:
    logits, labels = torch.randn(6, CLASSES, dtype=torch.float64), torch.tensor([0, 2, -1, -1, -2, 1])
    one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), CLASSES) * (labels >= 0)[:, None]
    counted = labels != IGNORE
    expected = torchvision.ops.sigmoid_focal_loss(
        logits[counted], one_hot[counted].double(), -1 if alpha is None else alpha, 0
    ).sum()
    torch.testing.assert_close(cross_entropy(alpha)(logits, labels, logits.new_zeros(6)), expected)


@pytest.mark.parametrize("normalizer", ["batch_positives", "image_positives"])
def test_mining_changes_the_class_loss_alone(normalizer: Any) -> None:
    """As if the anchors left out had no logits, picture by picture; boxes and normaliser stay."""
    outputs, targets = outputs_of(3), targets_of(4, 0, 2)
    seen = []

    def miner(losses: Tensor, labels: Tensor, anchors: Tensor) -> Tensor:
        assert torch.equal(anchors, ANCHORS)
        seen.append((losses, labels))
        return hard_negatives(losses, labels)

    plain = AnchorCriterion(match_iou, cross_entropy(), normalizer=normalizer)(outputs, targets)
    mined = AnchorCriterion(match_iou, cross_entropy(), normalizer=normalizer, miner=miner)(outputs, targets)
    assert torch.equal(mined.losses["box"], plain.losses["box"])
    assert all(torch.equal(mined.stats[name], plain.stats[name]) for name in plain.stats)
    sums, counts = [], []
    for i, (losses, labels) in enumerate(seen):
        logits = torch.cat([x[i] for x in outputs.cls_logits])
        torch.testing.assert_close(losses, cross_entropy_of_anchors(logits, labels))
        kept = hard_negatives(losses, labels)
        assert int((kept == BACKGROUND).sum()) == 3 * int((labels >= 0).sum())
        sums.append(losses[kept != IGNORE].sum().double())
        counts.append((labels >= 0).sum())
    total, objects = torch.stack(sums), torch.stack(counts)
    expected = total.sum() / objects.sum()
    if normalizer == "image_positives":
        expected = (total / objects.clamp(min=1)).mean()
    torch.testing.assert_close(mined.losses["cls"].double(), expected, rtol=1e-5, atol=1e-9)


def test_the_quality_target_carries_no_gradient_to_the_boxes() -> None:
    outputs, targets = outputs_of(1), targets_of(3)
    loss = AnchorCriterion(match_iou, quality_focal())(outputs, targets).losses["cls"]
    grads = torch.autograd.grad(loss, outputs.bbox_deltas, allow_unused=True)
    assert all(g is None or (g == 0).all() for g in grads)


@pytest.mark.parametrize("normalizer", ["batch_positives", "image_positives"])
def test_without_any_object_the_box_loss_is_a_differentiable_zero(normalizer: Any) -> None:
    outputs = outputs_of(2)
    found = AnchorCriterion(match_iou, focal(), normalizer=normalizer)(outputs, targets_of(0, 0)).losses
    assert found["box"] == 0
    assert found["cls"].isfinite()
    assert found["cls"] > 0
    (found["cls"] + found["box"]).backward()
    assert all(x.grad is not None and (x.grad == 0).all() for x in outputs.bbox_deltas)
    assert all(x.grad is not None and (x.grad != 0).any() for x in outputs.cls_logits)


def test_statistics_count_what_was_assigned() -> None:
    targets = targets_of(4, 2)
    stats = AnchorCriterion(match_iou, focal())(outputs_of(2), targets).stats
    matched = torch.stack([match_iou(LEVELS, target.boxes) for target in targets])
    assert stats["positives"] == (matched >= 0).sum() / 2
    assert stats["ignored"] == (matched == IGNORE).sum() / 2
    per_level = [(part >= 0).sum() / 2 for part in matched.split(SIZES, dim=1)]
    assert stats["positives_stride_8"] == per_level[0]
    assert stats["positives_stride_16"] == per_level[1]
    assert sum(per_level) > 0
    assert not any(value.requires_grad for value in stats.values())


def test_half_precision_outputs_give_float32_losses() -> None:
    full, targets = outputs_of(2), targets_of(3, 1)
    half = HeadOutputs(
        tuple(x.detach().bfloat16().requires_grad_() for x in full.cls_logits),
        tuple(x.detach().bfloat16().requires_grad_() for x in full.bbox_deltas),
        LEVELS,
    )
    same = HeadOutputs(
        tuple(x.detach().double() for x in half.cls_logits),
        tuple(x.detach().double() for x in half.bbox_deltas),
        LEVELS,
    )
    found = AnchorCriterion(match_iou, focal(), box_loss="giou")(half, targets).losses
    expected = AnchorCriterion(match_iou, focal(), box_loss="giou")(same, targets).losses
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in half.bbox_deltas)


def test_the_class_loss_is_compiled_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "compiler_works", lambda device: True)
    assert fuses.__wrapped__("cuda")
    assert not fuses.__wrapped__("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("quality", [False, True])
def test_compiled_or_not_the_losses_are_the_same(quality: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    criterion = AnchorCriterion(match_iou, quality_focal() if quality else focal(), box_loss="giou")
    found = []
    for fused in (False, True):
        monkeypatch.setattr(room, "fuses", lambda device, fused=fused: fused)
        outputs = outputs_of(2)
        loss = torch.stack(list(criterion(outputs, targets_of(4, 2)).losses.values())).sum()
        found.append((loss, *torch.autograd.grad(loss, [*outputs.cls_logits, *outputs.bbox_deltas])))
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "compiler_works", lambda device: False)
    with pytest.warns(ConfigWarning, match="compiler"):
        assert not fuses.__wrapped__("cuda")


def test_a_running_normaliser_moves_in_training_alone() -> None:
    """detectron2's: starts at 100, a tenth of every batch's objects, one at least."""
    outputs, targets = outputs_of(3), targets_of(4, 0, 2)
    criterion = AnchorCriterion(match_iou, focal(), normalizer="ema_positives")
    plain = AnchorCriterion(match_iou, focal())
    sums = {
        name: value * objects_of(outputs, targets) for name, value in plain(outputs, targets).losses.items()
    }
    criterion.eval()
    assert criterion(outputs, targets).losses["cls"].item() == pytest.approx(sums["cls"].item() / 100)
    criterion.train()
    expected = 100.0
    for _ in range(3):
        expected = 0.9 * expected + 0.1 * objects_of(outputs, targets)
        found = criterion(outputs, targets).losses
        for name, value in sums.items():
            assert found[name].item() == pytest.approx(value.item() / expected)
    empty = targets_of(0, 0, 0)
    criterion(outputs, empty)
    again = AnchorCriterion(match_iou, focal(), normalizer="ema_positives")
    again.load_state_dict(criterion.state_dict())
    assert again.running_positives.item() == pytest.approx(0.9 * expected + 0.1)


def objects_of(outputs: HeadOutputs, targets: Sequence[Target]) -> int:
    return int((assign(outputs.anchors, targets, match_iou).labels >= 0).sum())


@pytest.mark.parametrize("box_loss", ["l1", "giou"])
def test_another_coder_reaches_the_box_loss(box_loss: Any) -> None:
    """Deltas that encode the boxes by the criterion's coder have no loss, by another one they have."""
    outputs, targets = outputs_of(1), targets_of(4)
    assignment = assign(outputs.anchors, targets, match_iou)
    anchors = torch.cat([level.boxes for level in outputs.anchors])
    coder, objects = CornerCoder(0.2), assignment.labels[0] >= 0
    assert objects.any()
    deltas = torch.zeros(1, len(anchors), 4)
    deltas[0, objects] = coder.encode(assignment.boxes[assignment.box[0, objects]], anchors[objects])
    sizes = [len(level.boxes) for level in outputs.anchors]
    exact = outputs._replace(bbox_deltas=deltas.split(sizes, dim=1))
    ours = AnchorCriterion(match_iou, focal(), box_loss=box_loss, coder=coder)
    other = AnchorCriterion(match_iou, focal(), box_loss=box_loss)
    assert ours(exact, targets).losses["box"].item() == pytest.approx(0, abs=1e-4)
    assert other(exact, targets).losses["box"].item() > 0.1
