"""Decoding: which anchors and classes become candidates, and where their boxes lie."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveal.heads.anchor_decoupled.decoder import AnchorDecoder
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.box_coder import CornerCoder, encode_boxes
from foveal.types import HeadOutputs

CANVAS = (64, 96)
LEVELS = (
    grid_anchors(cell_anchors([16], [1.0, 2.0]), 16, 4, 6),
    grid_anchors(cell_anchors([32], [1.0, 2.0]), 32, 2, 3),
)


def outputs_of(logits: list[Tensor], deltas: list[Tensor] | None = None) -> HeadOutputs:
    zeros = [torch.zeros(len(x), x.shape[1], 4) for x in logits]
    return HeadOutputs(tuple(logits), tuple(deltas or zeros), LEVELS)


def random_logits(classes: int, batch: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, len(level.boxes), classes) for level in LEVELS]


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("k", [1, 5, 12, 1000])
def test_the_k_best_of_each_level(classes: int, k: int) -> None:
    logits = random_logits(classes)
    found = AnchorDecoder(k, 0.0)(outputs_of(logits), CANVAS)
    for picture in range(2):
        expected = [x[picture].flatten().sort(descending=True).values[:k] for x in logits]
        torch.testing.assert_close(found.scores[picture], torch.cat(expected).sigmoid())


def test_the_number_of_candidates_is_fixed() -> None:
    """Small levels have fewer anchors than k; scores below the threshold leave empty places, not gaps."""
    found = AnchorDecoder(20, 0.9)(outputs_of(random_logits(3)), CANVAS)
    assert found.boxes.shape == (2, 20 + 20, 4)
    found = AnchorDecoder(1000, 0.9)(outputs_of(random_logits(3)), CANVAS)
    assert found.scores.shape == (2, sum(len(level.boxes) for level in LEVELS) * 3)
    assert (found.scores == 0).any()
    assert (found.scores[found.scores > 0] > 0.9).all()


def test_score_must_exceed_the_threshold() -> None:
    logits = [torch.full((1, len(level.boxes), 1), -50.0) for level in LEVELS]
    logits[0][0, 0], logits[0][0, 1] = 0.0, 1e-6
    found = AnchorDecoder(score_thresh=0.5)(outputs_of(logits), CANVAS)
    assert (found.scores > 0).sum() == 1


@pytest.mark.parametrize(("thresh", "kept"), [(0.0, 60), (1.0, 0)])
def test_thresholds_at_the_ends(thresh: float, kept: int) -> None:
    logits = [torch.full((1, len(level.boxes), 1), -3.0) for level in LEVELS]
    logits[1][:] = 100.0
    found = AnchorDecoder(score_thresh=thresh)(outputs_of(logits), CANVAS)
    assert (found.scores > 0).sum() == kept


def test_labels_and_boxes_belong_to_the_logit() -> None:
    """One anchor and class stand out; its box is the one that was encoded."""
    logits = [torch.full((1, len(level.boxes), 5), -9.0) for level in LEVELS]
    deltas = [torch.zeros(1, len(level.boxes), 4) for level in LEVELS]
    box = torch.tensor([11.0, 21.0, 37.0, 40.0])
    logits[1][0, 7, 3] = 4.0
    deltas[1][0, 7] = encode_boxes(box, LEVELS[1].boxes[7])
    found = AnchorDecoder()(outputs_of(logits, deltas), CANVAS)
    place = int(found.scores[0].argmax())
    assert (found.scores > 0).sum() == 1
    assert found.labels[0, place] == 3
    torch.testing.assert_close(found.boxes[0, place], box)
    assert found.scores[0, place].item() == pytest.approx(1 / (1 + math.exp(-4)))


def test_boxes_are_clipped_to_the_canvas() -> None:
    deltas = [torch.full((1, len(level.boxes), 4), 2.0) for level in LEVELS]
    found = AnchorDecoder(score_thresh=0.0)(outputs_of(random_logits(1, 1), deltas), CANVAS)
    assert (found.boxes >= 0).all()
    assert (found.boxes[..., 2] <= 96).all()
    assert (found.boxes[..., 3] <= 64).all()
    assert (found.boxes[..., 2] == 96).any()


def test_half_precision_outputs_give_float32() -> None:
    logits = [x.bfloat16() for x in random_logits(3)]
    deltas = [torch.zeros(2, len(level.boxes), 4, dtype=torch.bfloat16) for level in LEVELS]
    found = AnchorDecoder()(outputs_of(logits, deltas), CANVAS)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert (found.scores > 0).any()


def test_all_candidates_and_another_coder() -> None:
    """No limit: every pair above the threshold; boxes by the decoder's own coder."""
    logits = [torch.full((1, len(level.boxes), 5), 2.0) for level in LEVELS]
    deltas = [torch.zeros(1, len(level.boxes), 4) for level in LEVELS]
    box, coder = torch.tensor([11.0, 21.0, 37.0, 40.0]), CornerCoder(0.2)
    logits[1][0, 7, 3] = 4.0
    deltas[1][0, 7] = coder.encode(box, LEVELS[1].boxes[7])
    found = AnchorDecoder(topk_candidates=None, coder=coder)(outputs_of(logits, deltas), CANVAS)
    assert (found.scores > 0).sum() == sum(part.numel() for part in logits)
    torch.testing.assert_close(found.boxes[0, int(found.scores[0].argmax())], box)
