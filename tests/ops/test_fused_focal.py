"""The fused losses: equal to the eager ones, as a formula for any numbers and compiled for a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foveal.ops.focal_loss import quality_focal_loss, quality_of_rows, sigmoid_focal_loss
from foveal.ops.fused_focal import (
    compiler_works,
    focal_entries,
    fused_focal_loss,
    fused_quality_focal_loss,
    quality_entries,
)
from foveal.types import IGNORE

GAMMAS = (0.0, 0.5, 1.0, 2.0, 5.0)


def value_and_gradient(loss: Callable[..., Tensor], logits: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, *rest)
    (value * 3).backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad / 3


def assert_equal(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """Loss and gradient, within one rounding of the gradient's type."""
    assert found[0].dtype == expected[0].dtype
    assert found[1].dtype == expected[1].dtype
    torch.testing.assert_close(found[0], expected[0], rtol=3e-6, atol=1e-6)
    entry = 2 * torch.finfo(torch.bfloat16).eps if found[1].dtype == torch.bfloat16 else 5e-6
    torch.testing.assert_close(found[1], expected[1], rtol=entry, atol=1e-6)


entry = st.floats(-120, 120, width=32)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(IGNORE, 2), entry, entry, entry), max_size=12),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from(GAMMAS),
    st.booleans(),
)
def test_any_entries(rows: list[tuple[Any, ...]], dtype: torch.dtype, gamma: float, per_class: bool) -> None:
    labels = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    logits = torch.tensor([row[1:] for row in rows]).reshape(-1, 3).to(dtype)
    weight = torch.tensor([0.0, 0.3, 1.0]) if per_class else 0.25
    assert_equal(
        focal_entries(logits, labels, weight, gamma),
        value_and_gradient(sigmoid_focal_loss, logits, labels, weight, gamma),
    )
    quality = torch.linspace(0.1, 0.9, len(labels))
    of_rows = quality_of_rows(logits, labels, quality, gamma)
    assert_equal(
        quality_entries(logits, labels, of_rows, gamma),
        value_and_gradient(quality_focal_loss, logits, labels, quality, gamma),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_scores_keep_their_digits(dtype: torch.dtype) -> None:
    """log(1 + e) by a plain logarithm would lose them all: 1 + e is 1."""
    logits = torch.linspace(-40, -5, 64, dtype=dtype).reshape(-1, 2)
    labels = torch.full((32,), -1)
    value, gradient = focal_entries(logits, labels, 0.25, 0.0)
    expected = torch.exp(logits.double()).log1p().mul(0.75)
    torch.testing.assert_close(value.double(), expected.sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), 0.75 * logits.double().sigmoid(), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_compiled_kernels_equal_the_eager_losses() -> None:
    """Two sizes, so that the kernel of the first serves the second."""
    if not compiler_works("cpu"):
        pytest.skip("torch.compile finds no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    for rows in (700, 33):
        logits = torch.randn(rows, 5, generator=generator) * 4
        labels = torch.randint(IGNORE, 5, (rows,), generator=generator)
        assert_equal(
            value_and_gradient(fused_focal_loss, logits, labels),
            value_and_gradient(sigmoid_focal_loss, logits, labels),
        )
        quality = torch.rand(rows, generator=generator)
        assert_equal(
            value_and_gradient(fused_quality_focal_loss, logits, labels, quality),
            value_and_gradient(quality_focal_loss, logits, labels, quality),
        )


def test_refuses_what_the_eager_losses_refuse() -> None:
    logits, labels = torch.zeros(3, 2), torch.tensor([0, -1, -1])
    with pytest.raises(ValueError, match="alpha"):
        fused_focal_loss(logits, labels, 1.5)
    with pytest.raises(ValueError, match="2 qualities for 1 objects"):
        fused_quality_focal_loss(logits, labels, torch.zeros(2))
