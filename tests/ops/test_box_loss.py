"""Box losses on numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

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
