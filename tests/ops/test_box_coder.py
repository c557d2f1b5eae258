"""Box coder: encode and decode are inverses, and mean what the paper's parametrisation says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foveal.ops.box_coder import (
    MAX_LOG_RATIO,
    CentreCoder,
    CornerCoder,
    Weights,
    decode_boxes,
    encode_boxes,
)

WEIGHTS = st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (2.0, 3.0, 0.5, 7.0)])
place, side = st.floats(-500, 1500), st.floats(1, 800)
Row = tuple[float, float, float, float]


def as_box(row: Row) -> Tensor:
    x, y, width, height = row
    return torch.tensor([x, y, x + width, y + height], dtype=torch.float64)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.tuples(place, place, side, side),
    st.tuples(place, place, st.floats(16, 600), st.floats(16, 600)),
    WEIGHTS,
)
def test_decoding_what_was_encoded_returns_the_box(box: Row, anchor: Row, weights: Weights) -> None:
    deltas = encode_boxes(as_box(box), as_box(anchor), weights)
    torch.testing.assert_close(
        decode_boxes(deltas, as_box(anchor), weights), as_box(box), rtol=1e-9, atol=1e-6
    )


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.tuples(*[st.floats(-3, 3)] * 4), st.tuples(place, place, side, side), WEIGHTS)
def test_encoding_what_was_decoded_returns_the_deltas(deltas: Row, anchor: Row, weights: Weights) -> None:
    given_deltas = torch.tensor(deltas, dtype=torch.float64) * torch.tensor(weights, dtype=torch.float64)
    box = decode_boxes(given_deltas, as_box(anchor), weights)
    torch.testing.assert_close(encode_boxes(box, as_box(anchor), weights), given_deltas, rtol=1e-6, atol=1e-8)


def test_the_four_numbers() -> None:
    anchor = torch.tensor([10.0, 20.0, 30.0, 60.0])  # centre 20, 40; 20 x 40
    box = torch.tensor([20.0, 30.0, 60.0, 50.0])  # centre 40, 40; 40 x 20
    expected = torch.tensor([1.0, 0.0, math.log(2), -math.log(2)])
    torch.testing.assert_close(encode_boxes(box, anchor), expected)
    scaled = encode_boxes(box, anchor, (10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(scaled, expected * torch.tensor([10.0, 10.0, 5.0, 5.0]))


def test_zero_deltas_give_the_anchor() -> None:
    anchors = torch.tensor([[3.0, 4.0, 9.0, 25.0], [-8.0, -8.0, 8.0, 8.0]])
    torch.testing.assert_close(decode_boxes(torch.zeros(2, 4), anchors), anchors)


@pytest.mark.parametrize("delta", [5.0, 100.0, 1e30])
def test_growth_is_capped(delta: float) -> None:
    box = decode_boxes(torch.tensor([0.0, 0.0, delta, delta]), torch.tensor([0.0, 0.0, 16.0, 16.0]))
    torch.testing.assert_close(box[2:] - box[:2], torch.tensor([1000.0, 1000.0]))
    assert pytest.approx(1000 / 16) == math.exp(MAX_LOG_RATIO)


def test_leading_shapes_are_kept() -> None:
    deltas = torch.randn(2, 5, 4)
    anchors = torch.tensor([0.0, 0.0, 10.0, 20.0]).expand(5, 4)
    whole = decode_boxes(deltas, anchors)
    assert whole.shape == (2, 5, 4)
    torch.testing.assert_close(whole[1, 3], decode_boxes(deltas[1, 3], anchors[3]))
    assert encode_boxes(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 4)


def test_decoding_is_differentiable() -> None:
    deltas = (torch.randn(3, 4, dtype=torch.float64) * 0.5).requires_grad_()
    anchors = torch.tensor([[0.0, 0.0, 10.0, 20.0]] * 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d: decode_boxes(d, anchors), deltas)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.tuples(place, place, side, side), st.tuples(place, place, st.floats(16, 600), st.floats(16, 600)))
def test_corners_there_and_back(box: Row, anchor: Row) -> None:
    coder = CornerCoder(0.2)
    deltas = coder.encode(as_box(box), as_box(anchor))
    torch.testing.assert_close(coder.decode(deltas, as_box(anchor)), as_box(box), rtol=1e-9, atol=1e-6)


def test_corners_of_a_hand_worked_box() -> None:
    """keras-retinanet's: (box - anchor) over the anchor's width or height, less 0, over 0.2."""
    anchor, box = torch.tensor([10.0, 20.0, 30.0, 60.0]), torch.tensor([12.0, 16.0, 40.0, 60.0])
    expected = torch.tensor([2 / 20 / 0.2, -4 / 40 / 0.2, 10 / 20 / 0.2, 0.0])
    torch.testing.assert_close(CornerCoder().encode(box, anchor), expected)


def test_a_centre_coder_is_the_functions() -> None:
    anchor, box = torch.tensor([10.0, 20.0, 30.0, 60.0]), torch.tensor([12.0, 16.0, 40.0, 60.0])
    coder = CentreCoder((10.0, 10.0, 5.0, 5.0))
    deltas = coder.encode(box, anchor)
    assert torch.equal(deltas, encode_boxes(box, anchor, coder.weights))
    torch.testing.assert_close(coder.decode(deltas, anchor), box)
