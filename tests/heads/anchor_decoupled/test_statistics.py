"""Statistics of a step against counts made one by one."""

from __future__ import annotations

import pytest
import torch

from foveal.heads.anchor_decoupled.criterion import AnchorCriterion, Normalizer, focal, quality_focal
from foveal.heads.anchor_decoupled.statistics import EASY_SCORE
from foveal.heads.anchor_decoupled.targets import assign
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.matcher import match_iou
from foveal.types import BACKGROUND, HeadOutputs, Target

LEVELS = tuple(grid_anchors(cell_anchors([4.0 * s], [1.0]), s, 64 // s, 64 // s) for s in (8, 16))
SIZES = [len(level.boxes) for level in LEVELS]
CLASSES = 3


def plain(levels, boxes):
    """RetinaNet's rule without low-quality matches: a box may be left without an anchor."""
    return match_iou(levels, boxes, allow_low_quality=False)


def target(boxes, labels, crowd=None):
    flags = crowd or [False] * len(labels)
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Target(rows, torch.tensor(labels, dtype=torch.int64), torch.tensor(flags, dtype=torch.bool))


TARGETS = [
    target(
        [[16, 16, 48, 48], [3, 3, 7, 7], [0, 0, 64, 20]], [2, 0, 1], [False, False, True]
    ),  # one too small
    target([[10, 10, 14, 14]], [0]),  # too small, and alone
    target([], []),
    target([[0, 0, 30, 30]], [2], [True]),  # a crowd alone
]


def outputs(seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = tuple(torch.randn(len(TARGETS), n, CLASSES, generator=generator) * spread - 2 for n in SIZES)
    return HeadOutputs(
        logits, tuple(torch.randn(len(TARGETS), n, 4, generator=generator) * 0.2 for n in SIZES), LEVELS
    )


def test_boxes_and_pictures_without_an_anchor_are_counted():
    found = AnchorCriterion(plain, focal())(outputs(), TARGETS)
    stats = {name: round(float(value), 6) for name, value in found.stats.items()}
    assert stats["boxes"] == 3 / 4
    assert stats["boxes_unmatched"] == 2 / 4
    assert stats["ignored_boxes"] == 2 / 4
    assert stats["pictures_with_boxes"] == 2 / 4
    assert stats["pictures_unmatched"] == 1 / 4
    assert not any(value.requires_grad for value in (*found.stats.values(), *found.totals.values()))


def test_positives_of_a_class_are_its_anchors():
    found = AnchorCriterion(plain, focal())(outputs(), TARGETS).totals["positives_of_class"]
    labels = assign(LEVELS, TARGETS, plain).labels
    assert found.tolist() == [float((labels == k).sum()) for k in range(CLASSES)]
    assert found[2] > 0
    assert found[:2].tolist() == [0, 0]


@pytest.mark.parametrize("normalizer", ["batch_positives", "image_positives"])
def test_shares_of_the_class_loss_are_sums_over_their_anchors(normalizer: Normalizer):
    given = outputs()
    found = AnchorCriterion(plain, focal(), normalizer=normalizer)(given, TARGETS)
    assert found.inspect is not None
    shares = {name: float(value) for name, value in found.inspect().items()}
    labels = assign(LEVELS, TARGETS, plain).labels.flatten()
    logits = torch.cat(given.cls_logits, dim=1).flatten(0, 1)
    each = torch.stack(
        [sigmoid_focal_loss(row[None], label[None]) for row, label in zip(logits, labels, strict=True)]
    )
    easy = (labels == BACKGROUND) & (logits.sigmoid() < EASY_SCORE).all(dim=1)
    hard = (labels == BACKGROUND) & ~easy
    assert min(int(easy.sum()), int(hard.sum()), int((labels >= 0).sum())) > 0
    for name, chosen in (("objects", labels >= 0), ("hard", hard), ("easy", easy)):
        assert shares[f"cls_share_{name}"] == pytest.approx(float(each[chosen].sum() / each.sum()), abs=1e-5)


def test_shares_add_up_with_quality_and_are_zero_without_a_loss():
    inspect = AnchorCriterion(plain, quality_focal())(outputs(), TARGETS).inspect
    assert inspect is not None
    assert sum(float(value) for value in inspect().values()) == pytest.approx(1, rel=1e-5)
    silent = outputs()._replace(cls_logits=tuple(torch.full_like(x, -200.0) for x in outputs().cls_logits))
    inspect = AnchorCriterion(plain, focal())(silent, TARGETS[2:3] * 4).inspect
    assert inspect is not None
    assert all(value.isfinite() for value in inspect().values())
