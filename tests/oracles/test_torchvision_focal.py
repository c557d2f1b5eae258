"""Focal loss: value and gradient against torchvision.ops.sigmoid_focal_loss."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor

from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.types import BACKGROUND, IGNORE


def torchvision_focal(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Sum and gradient in float64; ignored rows are left out."""
    leaf = logits.detach().double().requires_grad_()
    known = labels != IGNORE
    target = torch.zeros_like(leaf)
    target[labels >= 0, labels[labels >= 0]] = 1
    loss = torchvision.ops.sigmoid_focal_loss(leaf[known], target[known], alpha, gamma, reduction="sum")
    loss.backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


def ours(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = sigmoid_focal_loss(leaf, labels, alpha, gamma)
    loss.backward()
    assert leaf.grad is not None
    return loss.detach().double(), leaf.grad.double()


def labels_of(kind: str, rows: int, classes: int) -> Tensor:
    labels = torch.randint(0, classes, (rows,))
    if kind == "all objects":
        return labels
    labels[torch.rand(rows) > (0.02 if kind == "rare" else 0.0)] = BACKGROUND
    labels[torch.rand(rows) > 0.8] = IGNORE
    return labels


@pytest.mark.parametrize("kind", ["rare", "empty", "all objects"])
@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradient(kind: str, classes: int, gamma: float, dtype: torch.dtype) -> None:
    torch.manual_seed(classes)
    logits = (torch.randn(2500, classes) * 4 - 2).to(dtype)
    labels = labels_of(kind, 2500, classes)
    expected, slope = torchvision_focal(logits, labels, 0.25, gamma)
    value, gradient = ours(logits, labels, 0.25, gamma)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    # torchvision forms 1 - p_t by subtraction: below 1e-12 of the largest slope its own digits are gone.
    tiny = 1e-12 * float(slope.abs().max())
    # Entry by entry, float32 costs p ** gamma a few units of its 1e-7; a bf16 gradient is rounded once more.
    entry = {torch.float64: 1e-6, torch.float32: 5e-6, torch.bfloat16: torch.finfo(torch.bfloat16).eps}[dtype]
    torch.testing.assert_close(gradient, slope, rtol=entry, atol=tiny)
    if dtype != torch.bfloat16:
        assert (gradient - slope).norm() <= 1e-6 * slope.norm()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.75, 1.0])
def test_other_alphas(alpha: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(500, 4) * 3, labels_of("rare", 500, 4)
    assert (labels >= 0).any()
    value, gradient = ours(logits, labels, alpha, 2.0)
    expected, slope = torchvision_focal(logits, labels, alpha, 2.0)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=5e-6, atol=1e-12)


@pytest.mark.parametrize("size", [60.0, -60.0])
def test_extreme_logits(size: float) -> None:
    logits = torch.full((9, 2), size)
    labels = torch.tensor([0, 1, BACKGROUND] * 3)
    for found, expected in zip(
        ours(logits, labels, 0.25, 2.0), torchvision_focal(logits, labels, 0.25, 2.0), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
