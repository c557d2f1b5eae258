"""NMS: against a loop, padding, the early stop, empty places."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor

from foveal.ops.iou import box_iou
from foveal.ops.nms import AT_ONCE, KEPT_AT_ONCE, greedy_nms, suppress
from foveal.types import Candidates


def candidates(boxes: Tensor, scores: Tensor, labels: Tensor) -> Candidates:
    return Candidates(boxes[None], scores[None], labels[None])


def cluttered(count: int, classes: int = 3, seed: int = 0, extent: float = 300) -> Candidates:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * extent
    boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 80 + 5], dim=1)
    scores = (torch.randperm(count, generator=generator) + 1) / (count + 1)  # no two are equal
    return candidates(boxes, scores, torch.randint(0, classes, (count,), generator=generator))


def greedy(found: Candidates, thresh: float, agnostic: bool, limit: int) -> list[int]:
    """The definition, as a loop."""
    boxes, scores, labels = (x[0] for x in found)
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if scores[i] <= 0:
            continue
        rivals = [k for k in kept if agnostic or labels[k] == labels[i]]
        if all(box_iou(boxes[i], boxes[k]) <= thresh for k in rivals):
            kept.append(i)
    return kept[:limit]


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("thresh", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_equals_the_loop(agnostic: bool, thresh: float) -> None:
    found = cluttered(150)
    result = suppress(found, thresh, agnostic, 200)
    kept = greedy(found, thresh, agnostic, 200)
    count = int(result.count[0])
    assert 0 < count == len(kept)
    assert torch.equal(result.boxes[0, :count], found.boxes[0, kept])
    assert torch.equal(result.scores[0, :count], found.scores[0, kept])
    assert torch.equal(result.labels[0, :count], found.labels[0, kept])


def test_results_are_padded_with_zeros_and_sorted() -> None:
    result = suppress(cluttered(10), detections_per_img=50)
    count = int(result.count[0])
    assert 0 < count <= 10
    assert result.boxes.shape == (1, 50, 4)
    assert (result.scores[0, :count] > 0).all()
    assert (result.scores[0, :count].diff() < 0).all()
    for part in (result.boxes, result.scores, result.labels):
        assert (part[0, count:] == 0).all()


@pytest.mark.parametrize("agnostic", [False, True])
def test_a_prefix_that_is_enough_gives_what_all_would(agnostic: bool) -> None:
    """More candidates than are looked at first; the limit is met early, or never."""
    found = cluttered(AT_ONCE * 5, classes=4, seed=1)
    whole = suppress(found, 0.5, agnostic, len(found.scores[0]))
    total = int(whole.count[0])
    assert total > 60
    for limit in (1, 50, total - 1, total, total + 10):
        part = suppress(found, 0.5, agnostic, limit)
        kept = min(limit, total)
        assert part.count[0] == kept
        assert torch.equal(part.boxes[0, :kept], whole.boxes[0, :kept])
        assert torch.equal(part.labels[0, :kept], whole.labels[0, :kept])


def test_survivors_beyond_the_first_prefix_are_found() -> None:
    """A thousand copies of one box come first; the other boxes lie behind them."""
    copies = torch.tensor([0.0, 0.0, 10.0, 10.0]).repeat(AT_ONCE * 2, 1)
    others = torch.arange(5)[:, None] * 20.0 + torch.tensor([100.0, 0.0, 110.0, 10.0])
    boxes = torch.cat([copies, others])
    scores = torch.linspace(0.9, 0.1, len(boxes))
    result = suppress(candidates(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64)))
    assert result.count[0] == 6
    assert torch.equal(result.boxes[0, 1:6], others)


def test_classes_do_not_suppress_each_other_unless_asked() -> None:
    box = torch.tensor([[0.0, 0.0, 50.0, 50.0]]).repeat(3, 1)
    found = candidates(box, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([90, 0, 90]))
    assert suppress(found).labels[0, :3].tolist() == [90, 0, 0]
    assert suppress(found).count[0] == 2
    assert suppress(found, class_agnostic=True).count[0] == 1


def test_a_box_at_the_threshold_stays() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]])  # IoU exactly 0.5
    found = candidates(boxes, torch.tensor([0.9, 0.8]), torch.zeros(2, dtype=torch.int64))
    assert suppress(found, 0.5).count[0] == 2
    assert suppress(found, 0.4999).count[0] == 1


def test_many_classes_far_from_the_origin_keep_their_precision() -> None:
    """Moving 1,000 classes apart in float32 would blur boxes by a hundredth of a pixel and more."""
    boxes = torch.tensor([[3000.0, 3000.0, 3010.0, 3010.0], [3000.0, 3000.0, 3010.0, 3004.99]])
    found = candidates(boxes, torch.tensor([0.9, 0.8]), torch.tensor([999, 999]))
    assert suppress(found, 0.499).count[0] == 1 + int(box_iou(boxes[0], boxes[1]) <= 0.499)
    assert suppress(found, 0.4985).count[0] == 1


def test_score_zero_is_an_empty_place() -> None:
    found = cluttered(40)
    found.scores[0, ::2] = 0
    result = suppress(found, 1.0)
    assert result.count[0] == 20
    nothing = suppress(found._replace(scores=torch.zeros(1, 40)))
    assert nothing.count[0] == 0
    assert nothing.boxes.abs().sum() == 0


def test_no_candidates_at_all() -> None:
    result = suppress(
        Candidates(torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.int64))
    )
    assert result.count.tolist() == [0, 0]
    assert result.boxes.shape == (2, 100, 4)


def test_pictures_of_a_batch_do_not_mix() -> None:
    one, two = cluttered(60, seed=2), cluttered(60, seed=3)
    both = Candidates(*(torch.cat(pair) for pair in zip(one, two, strict=True)))
    together = suppress(both)
    for i, alone in enumerate((suppress(one), suppress(two))):
        for part, single in zip(together, alone, strict=True):
            assert torch.equal(part[i], single[0])


def test_no_limit_keeps_all_that_survive() -> None:
    found = cluttered(700)
    expected = greedy(found, 0.5, False, 700)
    result = suppress(found, 0.5, detections_per_img=None)
    assert result.scores.shape == (1, 700)
    assert int(result.count) == len(expected) > 100
    torch.testing.assert_close(result.boxes[0, : len(expected)], found.boxes[0][expected])


@pytest.mark.parametrize(
    ("count", "extent", "thresh"), [(5000, 300, 0.5), (5000, 3000, 0.7), (AT_ONCE, 300, 0.3)]
)
def test_block_by_block_is_all_at_once(count: int, extent: float, thresh: float) -> None:
    """torchvision's, in float64 on all boxes at once; in the roomy case thousands survive."""
    found = cluttered(count, seed=2, extent=extent)
    order = found.scores[0].argsort(descending=True)
    boxes = found.boxes[0][order].double()
    expected = torchvision.ops.nms(boxes, torch.arange(count, 0, -1).double(), thresh)
    assert torch.equal(greedy_nms(boxes, thresh, count), expected)
    assert len(expected) > (KEPT_AT_ONCE if count > AT_ONCE else 50)


@pytest.mark.parametrize("limit", [20, 100, None])
@pytest.mark.parametrize("agnostic", [False, True])
def test_a_graph_without_a_break_gives_the_same(agnostic: bool, limit: int | None) -> None:
    """Also where there are fewer candidates than detections are asked for, and where places are empty."""
    one, two = cluttered(60), cluttered(60, seed=3)
    two = two._replace(scores=torch.where(two.scores > 0.5, two.scores, 0.0))
    both = Candidates(*(torch.cat(pair) for pair in zip(one, two, strict=True)))
    torch._dynamo.reset()
    graph = torch.compile(suppress, fullgraph=True, backend="eager")
    expected, found = suppress(both, 0.3, agnostic, limit), graph(both, 0.3, agnostic, limit)
    assert int(expected.count.min()) > 10
    for name in expected._fields:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
