"""Mining against plain sorting, and on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms, sigmoid_focal_loss

from foveal.ops import mining
from foveal.ops.mining import cross_entropy_of_anchors, hard_negatives, hardest_examples
from foveal.types import BACKGROUND, IGNORE


def random_picture(count: int, objects: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Losses without ties, labels and overlapping boxes of ``count`` anchors; the last one is ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.full((count,), BACKGROUND)
    labels[torch.randperm(count - 1, generator=generator)[:objects]] = 2
    labels[-1] = IGNORE
    losses = torch.randperm(count, generator=generator).float()
    losses[-1] = -math.inf
    corner = torch.rand(count, 2, generator=generator) * 30
    return losses, labels, torch.cat([corner, corner + 4 + torch.rand(count, 2, generator=generator) * 8], 1)


@pytest.mark.parametrize("entries", [1, 7, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_is_torchvisions(
    monkeypatch: pytest.MonkeyPatch, entries: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(mining, "ENTRIES", entries)
    logits = (torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    labels = torch.tensor([BACKGROUND, 2, 0, IGNORE, 1])
    one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), 3).float() * (labels >= 0)[:, None]
    expected = sigmoid_focal_loss(logits.float(), one_hot, alpha=-1, gamma=0).sum(dim=1)
    expected[3] = -math.inf
    torch.testing.assert_close(cross_entropy_of_anchors(logits, labels), expected)


def test_three_negatives_for_each_object() -> None:
    losses = torch.tensor([0.1, 9.0, 0.5, 0.2, 0.4, 0.3, -math.inf])
    labels = torch.tensor([1, -1, -1, -1, -1, -1, -2])
    assert (BACKGROUND, IGNORE) == (-1, -2)
    assert hard_negatives(losses, labels).tolist() == [1, -1, -1, -2, -1, -2, -2]
    assert hard_negatives(losses, labels, 1.0).tolist() == [1, -1, -2, -2, -2, -2, -2]
    assert hard_negatives(losses, labels, 99).tolist() == labels.tolist()


def test_a_picture_without_an_object_keeps_no_negative() -> None:
    losses, labels = torch.tensor([1.0, 2.0]), torch.tensor([BACKGROUND, BACKGROUND])
    assert hard_negatives(losses, labels).tolist() == [IGNORE, IGNORE]
    assert hardest_examples(losses, labels, torch.rand(2, 4), per_positive=3).tolist() == [IGNORE, IGNORE]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(2, 300), st.integers(0, 20), st.integers(0, 99))
def test_the_worst_negatives_of_a_plain_sort(count: int, objects: int, seed: int) -> None:
    objects = min(objects, count - 1)
    losses, labels, _ = random_picture(count, objects, seed)
    worst = sorted((i for i in range(count) if labels[i] == BACKGROUND), key=lambda i: -losses[i])
    kept = set(worst[: 3 * objects]) | set(torch.nonzero(labels >= 0).flatten().tolist())
    found = hard_negatives(losses, labels)
    assert set(torch.nonzero(found != IGNORE).flatten().tolist()) == kept
    assert all(found[i] == labels[i] for i in kept)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(2, 1500),
    st.integers(0, 20),
    st.integers(0, 99),
    st.integers(1, 600),
    st.sampled_from([0.3, 0.7]),
)
def test_the_hardest_after_nms(count: int, objects: int, seed: int, examples: int, thresh: float) -> None:
    """The prefix that NMS looks at gives what NMS of all would."""
    losses, labels, boxes = random_picture(count, min(objects, count - 1), seed)
    valid = torch.nonzero(labels != IGNORE).flatten()
    expected = valid[nms(boxes[valid], losses[valid], thresh)[:examples]]
    found = hardest_examples(losses, labels, boxes, examples, thresh)
    assert torch.equal(torch.nonzero(found != IGNORE).flatten(), expected.sort().values)
    assert torch.equal(found[expected], labels[expected])


def test_one_object_to_three_negatives_after_nms() -> None:
    """Eight examples: two objects, six negatives; the ninth box lies on the worst negative and falls to NMS."""
    boxes = torch.arange(20.0)[:, None] * 10 + torch.tensor([0.0, 0.0, 8.0, 8.0])
    boxes[9] = boxes[8] + 0.5
    losses = torch.tensor([5.0, 1.0, 7.0, *(3.0 for _ in range(5)), 9.0, 8.5, *(2.0 for _ in range(10))])
    losses -= torch.arange(20) * 1e-3
    labels = torch.tensor([1, 1, 1, *(BACKGROUND for _ in range(17))])
    found = hardest_examples(losses, labels, boxes, 8, 0.5, per_positive=3)
    assert torch.nonzero(found >= 0).flatten().tolist() == [0, 2]
    assert torch.nonzero(found == BACKGROUND).flatten().tolist() == [3, 4, 5, 6, 7, 8]


def test_no_anchor_counts_where_all_are_ignored() -> None:
    labels, losses = torch.full((4,), IGNORE), torch.full((4,), -math.inf)
    assert hard_negatives(losses, labels).tolist() == [IGNORE] * 4
    assert hardest_examples(losses, labels, torch.rand(4, 4)).tolist() == [IGNORE] * 4
