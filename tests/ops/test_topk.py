"""Top-k by groups: the same values as a plain sort, at places that hold them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foveal.ops.topk import GROUP, _by_rows, topk


def check(rows: Tensor, k: int, found: tuple[Tensor, Tensor]) -> None:
    """Values as torch's own, places different from one another and true."""
    flat = rows.flatten(1)
    value, place = found
    assert torch.equal(value, flat.topk(min(k, flat.shape[1]), dim=1).values)
    assert torch.equal(flat.gather(1, place), value)
    for one in place:
        assert len(one.unique()) == len(one)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(1, 3),
    st.integers(1, 3000),
    st.sampled_from([1, 3, 16, 91]),
    st.integers(1, 60),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.booleans(),
)
def test_any_size(batch: int, rows: int, classes: int, k: int, dtype: torch.dtype, ties: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    values = torch.randn(batch, rows, classes, generator=generator)
    values = (values.round() if ties else values).to(dtype)
    check(values, k, topk(values, k))
    check(values, k, _by_rows(values, k))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.integers(1, 2),
    st.integers(1, 20_000),
    st.sampled_from([1, 7]),
    st.integers(1, 60),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.floats(-3, 5, width=32),
)
def test_only_those_above_a_bound(
    batch: int, rows: int, classes: int, k: int, dtype: torch.dtype, above: float
) -> None:
    """None above the bound is missing: from nearly all being above it to none."""
    generator = torch.Generator().manual_seed(rows)
    values = torch.randn(batch, rows, classes, generator=generator).to(dtype)
    value, place = topk(values, k, above)
    flat = values.flatten(1)
    assert torch.equal(flat.gather(1, place), value)
    assert torch.equal(value, flat.topk(value.shape[1], dim=1).values)
    for one, all_of in zip(place, flat, strict=True):
        assert len(one.unique()) == len(one)
        assert min(k, int((all_of.float() > above).sum())) <= len(one) <= k


def test_a_bound_between_two_numbers_of_the_type() -> None:
    """1.001 would be 1 in bfloat16, which 1.0078125 is above and 1 is not."""
    values = torch.tensor([1.0, 1.0078125, 0.5], dtype=torch.bfloat16).view(1, -1, 1)
    assert topk(values, 3, 1.001)[0].tolist() == [[1.0078125]]
    assert topk(values, 3, 1.0078125)[0].tolist() == [[]]
    assert topk(values, 3, 1.0078)[0].tolist() == [[1.0078125]]


@pytest.mark.parametrize("more", [0, 1, GROUP - 1])
def test_the_largest_may_stand_where_no_group_is_filled(more: int) -> None:
    """All of the largest in one group, in the last group, and behind it."""
    count = GROUP * 500 + more
    for winners in (range(0, count - 40, 500), range(count - 30, count)):
        values = torch.linspace(0, 1, count)
        values[list(winners)] += 2
        check(values.view(1, -1, 1), 20, topk(values.view(1, -1, 1), 20))


def test_rows_that_are_views() -> None:
    values = torch.randn(2, 5000, 4)
    check(values[:, 100:], 30, topk(values[:, 100:], 30))
    check(values[..., 1:3], 30, topk(values[..., 1:3], 30))


def test_a_compiled_graph_takes_rows_as_groups() -> None:
    """No size of the input decides what is done, so one graph serves all."""
    program = torch.export.export(
        TopK(), (torch.randn(1, 400, 3),), dynamic_shapes={"rows": {1: torch.export.Dim("n", min=30)}}
    )
    for count in (50, 3000):
        values = torch.randn(1, count, 3)
        check(values, 20, program.module()(values))


class TopK(torch.nn.Module):
    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return topk(rows, 20)
