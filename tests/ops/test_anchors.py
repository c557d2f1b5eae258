"""Anchors: areas, ratios, order and places."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from foveal.ops.anchors import AnchorRule, cell_anchors, cell_step, grid_anchors

OCTAVES = [2 ** (o / 3) for o in range(3)]
RATIOS = [0.5, 1.0, 2.0]


def test_nine_anchors_of_base_sixteen() -> None:
    """generate_anchors(16, [.5, 1, 2], [1, 2^(1/3), 2^(2/3)]): centred, exact areas, all scales of .5 first."""
    cell = cell_anchors([16 * octave for octave in OCTAVES], RATIOS).double()
    assert cell.shape == (9, 4)
    torch.testing.assert_close(cell[:, :2], -cell[:, 2:], rtol=0, atol=0)
    width, height = cell[:, 2] - cell[:, 0], cell[:, 3] - cell[:, 1]
    areas = torch.tensor([256 * octave**2 for octave in OCTAVES] * 3, dtype=torch.float64)
    ratios = torch.tensor([r for r in RATIOS for _ in OCTAVES], dtype=torch.float64)
    torch.testing.assert_close(width * height, areas, rtol=1e-6, atol=0)
    torch.testing.assert_close(height / width, ratios, rtol=1e-6, atol=0)
    torch.testing.assert_close(width, (areas / ratios).sqrt(), rtol=1e-6, atol=0)
    torch.testing.assert_close(cell[0].tolist(), [-11.3137085, -5.65685425, 11.3137085, 5.65685425])


def test_sizes_are_never_rounded() -> None:
    """Whole-pixel sizes would be 40 and 50 here."""
    cell = cell_anchors([32 * octave for octave in OCTAVES], [1.0])
    side = (cell[:, 2] - cell[:, 0]).tolist()
    assert side == pytest.approx([32, 40.3174736, 50.7968337], rel=1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.5, 0.25])
def test_places_are_row_major_and_a_cell_stays_together(offset: float) -> None:
    cell = cell_anchors([10, 20], RATIOS)
    level = grid_anchors(cell, 8, 3, 5, offset)
    assert level.boxes.shape == (3 * 5 * 6, 4)
    assert (level.stride, level.height, level.width, level.offset) == (8, 3, 5, offset)
    boxes = level.boxes.view(3, 5, 6, 4)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    for row in range(3):
        for column in range(5):
            expected = torch.tensor([(column + offset) * 8, (row + offset) * 8])
            torch.testing.assert_close(centre[row, column], expected.expand(6, 2))
    torch.testing.assert_close(boxes[2, 4] - centre[2, 4].repeat(1, 2), cell)


def test_half_offset_covers_the_picture_evenly() -> None:
    centre = grid_anchors(cell_anchors([8], [1.0]), 8, 4, 4).boxes.view(-1, 2, 2).mean(dim=1)
    torch.testing.assert_close(centre.mean(dim=0), torch.tensor([16.0, 16.0]))


@pytest.mark.parametrize(
    ("sizes", "ratios"), [([], [1.0]), ([16], []), ([0], [1.0]), ([16], [-1.0]), ([-2], [1.0])]
)
def test_refuses_what_is_not_positive(sizes: list[float], ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        cell_anchors(sizes, ratios)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        cell_anchors([value], [1.0])


def test_all_ratios_of_a_size_together() -> None:
    by_ratio = cell_anchors([10, 20], RATIOS).view(3, 2, 4)
    by_size = cell_anchors([10, 20], RATIOS, AnchorRule(order="size_major")).view(2, 3, 4)
    assert torch.equal(by_size, by_ratio.transpose(0, 1))
    assert not torch.equal(by_size.flatten(), by_ratio.flatten())


def test_whole_corners_halves_to_even() -> None:
    cell = cell_anchors([5, 7, 32], [1.0, 2.0], AnchorRule(rounding="whole"))
    assert cell[0].tolist() == [-2, -2, 2, 2]  # 2.5
    assert cell[1].tolist() == [-4, -4, 4, 4]  # 3.5
    assert cell[5].tolist() == [-11, -23, 11, 23]  # 11.31, 22.63


def test_inclusive_corners_are_a_pixel_wider() -> None:
    """odtk's anchor of size s on stride t: from t / 2 - s / 2 to t / 2 + s / 2, with x2 - x1 + 1 as its width."""
    rule = AnchorRule(corners="inclusive")
    level = grid_anchors(cell_anchors([32], [1.0], rule), 8, 2, 2)
    assert level.boxes[0].tolist() == [4 - 16, 4 - 16, 4 + 16 + 1, 4 + 16 + 1]
    assert level.boxes[3].tolist() == [12 - 16, 12 - 16, 12 + 16 + 1, 12 + 16 + 1]


@pytest.mark.parametrize(
    ("step", "expected"), [("stride", (64, 64)), ("canvas", (61, 64)), (512, (39, 24)), (8, (1, 1))]
)
def test_steps(step: Literal["stride", "canvas"] | int, expected: tuple[int, int]) -> None:
    """13 x 21 cells of P6 on an 800 x 1344 canvas."""
    assert cell_step(AnchorRule(step=step), 64, (13, 21), (800, 1344)) == expected
    level = grid_anchors(cell_anchors([64], [1.0]), 64, 13, 21, 0.0, expected)
    assert level.step == expected
    assert level.boxes[21 + 2].tolist() == [
        2 * expected[1] - 32,
        expected[0] - 32,
        2 * expected[1] + 32,
        expected[0] + 32,
    ]
