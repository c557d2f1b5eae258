"""Box losses on numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import generalized_box_iou_loss

from foveal.ops.box_loss import giou_loss, l1_loss, smooth_l1_loss


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


def test_giou_has_a_gradient_where_boxes_are_apart() -> None:
    """IoU alone would have none; it must pull the boxes together."""
    box = torch.tensor([[50.0, 0.0, 60.0, 10.0]], requires_grad=True)
    giou_loss(box, torch.tensor([[0.0, 0.0, 10.0, 10.0]])).sum().backward()
    assert box.grad is not None
    assert box.grad[0, 0] > 0


@pytest.mark.parametrize("loss", [l1_loss, smooth_l1_loss, giou_loss])
def test_no_pairs_sum_to_a_differentiable_zero(loss) -> None:  # type: ignore[no-untyped-def]
    empty = torch.zeros(0, 4, requires_grad=True)
    total = loss(empty, torch.zeros(0, 4)).sum()
    assert total == 0
    total.backward()


PLACE, SIDE = st.floats(-300, 300, width=32), st.one_of(st.floats(0.0, 400, width=32), st.just(1e4))
ROW = st.tuples(PLACE, PLACE, SIDE, SIDE)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(st.tuples(ROW, ROW), min_size=1, max_size=5))
def test_giou_is_torchvisions(rows: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    """Value and gradient, also of boxes apart, equal, touching, tiny and huge: no pair is picked by a mask."""
    raw = torch.tensor(rows)  # [P, 2, 4] x, y, width, height
    boxes, target = torch.cat([raw[..., :2], raw[..., :2] + raw[..., 2:]], dim=-1).unbind(1)
    found = []
    for loss in (giou_loss, lambda a, b: generalized_box_iou_loss(a, b, reduction="none")):
        leaf = boxes.clone().requires_grad_()
        value = loss(leaf, target)
        found.append((value.detach(), *torch.autograd.grad(value.sum(), leaf)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
