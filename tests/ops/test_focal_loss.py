"""Focal loss and quality focal loss: the textbook's values, the gradient, the refusals, the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.ops.focal_loss import ENTRIES_CPU, quality_focal_loss, sigmoid_focal_loss
from foveal.types import BACKGROUND, IGNORE

GAMMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 5.0)


def textbook_focal(logits: Tensor, labels: Tensor, alpha: float | Tensor, gamma: float) -> Tensor:
    """Equation 5 on one-hot targets, differentiated by autograd."""
    known = labels != IGNORE
    x, label = logits[known], labels[known]
    target = torch.zeros_like(x)
    target[label >= 0, label[label >= 0]] = 1
    signed = torch.where(target == 1, x, -x)  # p_t = sigmoid(signed)
    alpha = torch.as_tensor(alpha, dtype=x.dtype)
    alpha_t = torch.where(target == 1, alpha, 1 - alpha)
    return (alpha_t * (-signed).sigmoid() ** gamma * -F.logsigmoid(signed)).sum()


def textbook_quality(logits: Tensor, labels: Tensor, quality: Tensor, gamma: float) -> Tensor:
    """Equation 5 of Li et al. 2020, differentiated by autograd."""
    known = labels != IGNORE
    target = torch.zeros_like(logits)
    objects = labels >= 0
    target[objects, labels[objects]] = quality
    x, y = logits[known], target[known]
    cross_entropy = -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
    return ((y - x.sigmoid()).abs() ** gamma * cross_entropy).sum()


def value_and_gradient(loss: Any, logits: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, *rest)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def case(rows: int = 300, classes: int = 5, seed: int = 0, objects: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 3
    kind = torch.rand(rows, generator=generator)
    labels = torch.randint(0, classes, (rows,), generator=generator)
    labels[kind > objects] = BACKGROUND
    labels[kind > 0.9] = IGNORE
    return logits, labels


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [0.25, 0.0, 1.0, "per class"])
def test_focal_equals_the_textbook(gamma: float, alpha: float | str) -> None:
    logits, labels = case()
    weight = torch.linspace(0.05, 0.95, 5, dtype=torch.float64) if isinstance(alpha, str) else alpha
    value, gradient = value_and_gradient(sigmoid_focal_loss, logits, labels, weight, gamma)
    expected, slope = value_and_gradient(textbook_focal, logits, labels, weight, gamma)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_quality_equals_the_textbook(gamma: float) -> None:
    logits, labels = case(seed=1)
    quality = torch.rand(int((labels >= 0).sum()), dtype=torch.float64)
    quality[:4] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    value, gradient = value_and_gradient(quality_focal_loss, logits, labels, quality, gamma)
    expected, slope = value_and_gradient(textbook_quality, logits, labels, quality, gamma)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_gradcheck_of_focal(gamma: float) -> None:
    logits, labels = case(rows=12, classes=3)
    alpha = torch.tensor([0.25, 0.5, 0.9], dtype=torch.float64)
    for weight in (0.25, alpha):
        assert torch.autograd.gradcheck(
            lambda x, weight=weight: sigmoid_focal_loss(x, labels, weight, gamma), logits.requires_grad_()
        )


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_gradcheck_of_quality(gamma: float) -> None:
    logits, labels = case(rows=12, classes=3, seed=3, objects=0.6)
    quality = torch.linspace(0, 1, int((labels >= 0).sum()), dtype=torch.float64)
    assert len(quality) >= 3
    assert torch.autograd.gradcheck(
        lambda x: quality_focal_loss(x, labels, quality, gamma), logits.requires_grad_()
    )


def test_no_gradient_flows_into_quality() -> None:
    logits, labels = case(rows=40)
    quality = torch.rand(int((labels >= 0).sum()), dtype=torch.float64, requires_grad=True)
    leaf = logits.clone().requires_grad_()
    quality_focal_loss(leaf, labels, quality).backward()
    assert quality.grad is None


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
def test_quality_that_is_met_exactly_has_a_finite_gradient(gamma: float) -> None:
    """A score equal to its target: |p - y| ** (gamma - 1) alone would be infinite for gamma < 1."""
    logits = torch.tensor([[0.0], [40.0], [-200.0]])
    labels = torch.zeros(3, dtype=torch.int64)
    quality = torch.tensor([0.5, 1.0, 0.0])
    value, gradient = value_and_gradient(quality_focal_loss, logits, labels, quality, gamma)
    assert value.isfinite()
    assert gradient.isfinite().all(), gradient
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_logits_stay_finite_and_exact(gamma: float, sign: int) -> None:
    logits = torch.full((6, 2), 60.0 * sign)
    logits[3:] = 800.0 * sign
    labels = torch.tensor([0, BACKGROUND, IGNORE, 1, BACKGROUND, IGNORE])
    value, gradient = value_and_gradient(sigmoid_focal_loss, logits, labels, 0.25, gamma)
    expected, _ = value_and_gradient(textbook_focal, logits.double(), labels, 0.25, gamma)
    assert value.isfinite()
    assert gradient.isfinite().all()
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_confident_objects_keep_their_small_loss(gamma: float) -> None:
    """Summing objects as background and taking that out again would leave its rounding behind."""
    logits = torch.full((5000, 1), 12.0) + torch.linspace(0, 1, 5000)[:, None]
    labels = torch.zeros(5000, dtype=torch.int64)
    value = sigmoid_focal_loss(logits, labels, 0.25, gamma)
    expected = textbook_focal(logits.double(), labels, 0.25, gamma)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)


def test_ignored_rows_change_nothing() -> None:
    logits, labels = case()
    kept = labels != IGNORE
    assert not kept.all()
    value, gradient = value_and_gradient(sigmoid_focal_loss, logits, labels)
    alone, slope = value_and_gradient(sigmoid_focal_loss, logits[kept], labels[kept])
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(gradient[kept], slope)
    assert (gradient[~kept] == 0).all()


@pytest.mark.parametrize(
    ("rows", "classes"), [(0, 3), (1, 1), (7, 1), (ENTRIES_CPU // 3 * 2 + 1, 3), (3, 1203)]
)
def test_any_number_of_rows(rows: int, classes: int) -> None:
    logits, labels = case(rows, classes)
    value, gradient = value_and_gradient(sigmoid_focal_loss, logits.float(), labels)
    assert gradient.shape == (rows, classes)
    expected, slope = value_and_gradient(textbook_focal, logits, labels, 0.25, 2.0)
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), slope, rtol=2e-6, atol=1e-9)


def test_reads_a_strided_view() -> None:
    """A head's output is a permuted view; its gradient must land in the right places."""
    whole = torch.randn(3, 40, dtype=torch.float64)
    labels = torch.randint(-2, 3, (40,))
    value, gradient = value_and_gradient(lambda x: sigmoid_focal_loss(x.t(), labels), whole)
    expected, slope = value_and_gradient(lambda x: textbook_focal(x.t(), labels, 0.25, 2.0), whole)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, slope)


def test_the_upstream_gradient_scales() -> None:
    logits, labels = case(rows=20)
    _, once = value_and_gradient(sigmoid_focal_loss, logits, labels)
    _, scaled = value_and_gradient(lambda x: sigmoid_focal_loss(x, labels) * -7.5, logits)
    torch.testing.assert_close(scaled, once * -7.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits, labels = case()
    half = logits.to(dtype)
    value, gradient = value_and_gradient(sigmoid_focal_loss, half, labels)
    expected, slope = value_and_gradient(textbook_focal, half.double(), labels, 0.25, 2.0)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)
    one_rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(gradient.double(), slope, rtol=one_rounding, atol=1e-7)


@pytest.mark.parametrize(
    ("alpha", "gamma"),
    [(-0.1, 2.0), (1.1, 2.0), (0.25, -1.0), (torch.tensor([0.2, 1.2, 0.5, 0.5, 0.5]), 2.0)]
    + [(float("nan"), 2.0), (0.25, float("nan"))],
)
def test_refuses_numbers_outside(alpha: float | Tensor, gamma: float) -> None:
    logits, labels = case(rows=4)
    with pytest.raises(ValueError, match=r"alpha .*gamma"):
        sigmoid_focal_loss(logits, labels, alpha, gamma)


@pytest.mark.parametrize("length", [1, 4, 6])
def test_refuses_weights_of_other_classes(length: int) -> None:
    logits, labels = case()
    with pytest.raises(ValueError, match=rf"{length} .*5 classes"):
        sigmoid_focal_loss(logits, labels, torch.full((length,), 0.25))


def test_quality_refuses_wrong_counts_and_gamma() -> None:
    logits, labels = case()
    objects = int((labels >= 0).sum())
    with pytest.raises(ValueError, match=f"{objects + 1} qualities for {objects} objects"):
        quality_focal_loss(logits, labels, torch.rand(objects + 1))
    with pytest.raises(ValueError, match="gamma"):
        quality_focal_loss(logits, labels, torch.rand(objects), gamma=-1.0)


class BigAllocations(TorchDispatchMode):
    """Counts different memory blocks of at least ``size`` bytes that operations give out."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.blocks: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, Tensor) and value.untyped_storage().nbytes() >= self.size:
                self.blocks.add(value.untyped_storage().data_ptr())
        return result


def test_only_the_gradient_is_as_large_as_the_logits() -> None:
    """Forward and backward: the gradient that is handed out is the one that forward made."""
    classes = 40
    logits = torch.randn(ENTRIES_CPU // classes * 20, classes, requires_grad=True)
    labels = torch.full((len(logits),), BACKGROUND)
    labels[::50], labels[::7] = 3, IGNORE
    with BigAllocations(4 * ENTRIES_CPU * logits.element_size()) as seen:
        (sigmoid_focal_loss(logits, labels) * 3).backward()
    seen.blocks.discard(logits.untyped_storage().data_ptr())
    assert logits.grad is not None
    assert seen.blocks == {logits.grad.untyped_storage().data_ptr()}


@pytest.mark.parametrize("retained", [True, False])
def test_backward_twice(retained: bool) -> None:
    """The second pass through a kept graph gives the gradient again; the first result is not written to."""
    logits, labels = case(rows=30)
    leaf = logits.clone().requires_grad_()
    loss = sigmoid_focal_loss(leaf, labels) * 5
    (first,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    before = first.clone()
    (second,) = torch.autograd.grad(loss, leaf, retain_graph=retained)
    assert torch.equal(second, before)
    assert torch.equal(first, before)
    _, expected = value_and_gradient(lambda x: textbook_focal(x, labels, 0.25, 2.0) * 5, logits)
    torch.testing.assert_close(second, expected)


def test_quality_of_every_row_counts_where_there_is_an_object() -> None:
    logits, labels = case(rows=50)
    every = torch.rand(50, dtype=torch.float64)
    whole = value_and_gradient(quality_focal_loss, logits, labels, every)
    objects = value_and_gradient(quality_focal_loss, logits, labels, every[labels >= 0])
    assert (labels >= 0).sum() < 50
    for one, other in zip(whole, objects, strict=True):
        assert torch.equal(one, other)


entry = st.floats(-120, 120, width=32)


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(IGNORE, 2), entry, entry, entry), max_size=12),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from(GAMMAS),
    st.sampled_from(["focal", "quality"]),
)
def test_any_logits_equal_the_textbook(
    rows: list[tuple[Any, ...]], dtype: torch.dtype, gamma: float, kind: str
) -> None:
    labels = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    logits = torch.tensor([row[1:] for row in rows]).reshape(-1, 3).to(dtype)
    if kind == "focal":
        value, gradient = value_and_gradient(sigmoid_focal_loss, logits, labels, 0.25, gamma)
        expected, slope = value_and_gradient(textbook_focal, logits.double(), labels, 0.25, gamma)
    else:
        quality = torch.linspace(0.1, 0.9, int((labels >= 0).sum()))
        value, gradient = value_and_gradient(quality_focal_loss, logits, labels, quality, gamma)
        expected, slope = value_and_gradient(
            textbook_quality, logits.double(), labels, quality.double(), gamma
        )
    rounding = torch.finfo(dtype).eps if dtype != torch.float32 else 3e-6
    torch.testing.assert_close(value.double(), expected, rtol=3e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), slope, rtol=rounding, atol=1e-6)
