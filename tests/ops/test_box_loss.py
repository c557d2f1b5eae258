"""Box losses on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

from foveal.ops.box_loss import ciou_loss, diou_loss, giou_loss, l1_loss, smooth_l1_loss


def test_l1_sums_the_four_differences() -> None:
    deltas, target = torch.tensor([[0.0, 1.0, -2.0, 0.5]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert l1_loss(deltas, target).tolist() == [4.5]


def test_smooth_l1_is_quadratic_below_beta() -> None:
    deltas = torch.tensor([[0.05, 0.0, 0.0, 2.0]])
    beta = 0.1
    expected = 0.5 * 0.05**2 / beta + (2.0 - 0.5 * beta)
    assert smooth_l1_loss(deltas, torch.zeros(1, 4), beta).item() == pytest.approx(expected)


def test_giou_of_equal_apart_and_far_boxes() -> None:
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(3, 1)
    other = torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0], [90.0, 0.0, 100.0, 10.0]])
    # Apart: IoU 0, and the hull's share outside the union is 0, then 8 / 10.
    torch.testing.assert_close(giou_loss(box, other), torch.tensor([0.0, 1.0, 1.8]), atol=1e-6, rtol=1e-6)


def test_diou_adds_the_distance_of_the_centres() -> None:
    """Half over: IoU 1/3, centres 5 apart, hull 15 x 10."""
    box, other = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[5.0, 0.0, 15.0, 10.0]])
    assert diou_loss(box, other).item() == pytest.approx(1 - 1 / 3 + 25 / 325)


def test_ciou_adds_the_difference_of_the_aspect_ratios() -> None:
    """About one centre, 20 x 10 against 10 x 20: IoU 100 / 300."""
    box, other = torch.tensor([[0.0, 5.0, 20.0, 15.0]]), torch.tensor([[5.0, 0.0, 15.0, 20.0]])
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(0.5)) ** 2
    assert ciou_loss(box, other).item() == pytest.approx(2 / 3 + v * v / (2 / 3 + v))
    assert ciou_loss(box, box * 2).item() == pytest.approx(diou_loss(box, box * 2).item())


@pytest.mark.parametrize("loss", [giou_loss, diou_loss, ciou_loss])
def test_a_gradient_where_boxes_are_apart(loss) -> None:  # type: ignore[no-untyped-def]
    """IoU alone would have none; it must pull the boxes together."""
    box = torch.tensor([[50.0, 0.0, 60.0, 10.0]], requires_grad=True)
    loss(box, torch.tensor([[0.0, 0.0, 10.0, 10.0]])).sum().backward()
    assert box.grad is not None
    assert box.grad[0, 0] > 0


@pytest.mark.parametrize("loss", [l1_loss, smooth_l1_loss, giou_loss, diou_loss, ciou_loss])
def test_no_pairs_sum_to_a_differentiable_zero(loss) -> None:  # type: ignore[no-untyped-def]
    empty = torch.zeros(0, 4, requires_grad=True)
    total = loss(empty, torch.zeros(0, 4)).sum()
    assert total == 0
    total.backward()


PLACE, SIDE = st.floats(-300, 300, width=32), st.one_of(st.floats(0.0, 400, width=32), st.just(1e4))
ROW = st.tuples(PLACE, PLACE, SIDE, SIDE)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (giou_loss, generalized_box_iou_loss),
        (diou_loss, distance_box_iou_loss),
        (ciou_loss, complete_box_iou_loss),
    ],
)
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(st.tuples(ROW, ROW), min_size=1, max_size=5))
def test_torchvisions(ours, theirs, rows: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:  # type: ignore[no-untyped-def]
    """Value and gradient, also of boxes apart, equal, touching, tiny and huge: no pair is picked by a mask."""
    raw = torch.tensor(rows, dtype=torch.float64)  # [P, 2, 4] x, y, width, height
    if ours is ciou_loss:  # a box without a side has no aspect ratio; torchvision's gradient is not a number
        raw[..., 2:].clamp_(min=1e-2)
    boxes, target = torch.cat([raw[..., :2], raw[..., :2] + raw[..., 2:]], dim=-1).unbind(1)
    found = []
    for loss in (ours, lambda a, b: theirs(a, b, reduction="none")):
        leaf = boxes.clone().requires_grad_()
        value = loss(leaf, target)
        found.append((value.detach(), *torch.autograd.grad(value.sum(), leaf)))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
