"""Overlaps of boxes: bounds, symmetry, the matrix and the pairs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.ops.iou import box_area, box_iou, intersection, intersection_over_area

whole = st.integers(-20, 40)
boxes = st.tuples(whole, whole, st.integers(0, 30), st.integers(0, 30)).map(
    lambda r: torch.tensor([r[0], r[1], r[0] + r[2], r[1] + r[3]], dtype=torch.float32)
)


def pixels(a: torch.Tensor, b: torch.Tensor) -> tuple[int, int]:
    """Cells of the unit grid in both and in either: the definition, by counting."""

    def cells(box: torch.Tensor) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = (int(value) for value in box)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    return len(cells(a) & cells(b)), len(cells(a) | cells(b))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(boxes, boxes)
def test_iou_counts_cells(a: torch.Tensor, b: torch.Tensor) -> None:
    common, union = pixels(a, b)
    assert intersection(a, b) == common
    assert box_iou(a, b).item() == pytest.approx(common / union if union else 0.0, rel=1e-6)
    assert box_iou(a, b) == box_iou(b, a)
    area = int(box_area(a))
    assert intersection_over_area(a, b).item() == pytest.approx(common / area if area else 0.0, rel=1e-6)


def test_matrix_and_pairs_agree_to_the_bit() -> None:
    torch.manual_seed(0)
    a, b = (torch.rand(2, 50, 2) * 100).unbind()
    a, b = torch.cat([a, a + torch.rand(50, 2) * 60], 1), torch.cat([b, b + torch.rand(50, 2) * 60], 1)
    matrix = box_iou(a[:, None], b[None])
    assert matrix.shape == (50, 50)
    assert (matrix > 0).sum() > 100
    assert torch.equal(matrix.diagonal(), box_iou(a, b))


def test_zero_area_gives_zero_never_nan() -> None:
    point = torch.tensor([5.0, 5.0, 5.0, 5.0])
    assert box_iou(point, point) == 0
    assert box_iou(point, torch.tensor([0.0, 0.0, 10.0, 10.0])) == 0
    assert intersection_over_area(point, torch.tensor([0.0, 0.0, 10.0, 10.0])) == 0


def test_touching_boxes_do_not_overlap() -> None:
    assert box_iou(torch.tensor([0.0, 0, 10, 10]), torch.tensor([10.0, 0, 20, 10])) == 0
