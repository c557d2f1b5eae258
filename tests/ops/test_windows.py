"""Windows of the grid: no pair that reaches its floor is ever left out."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.ops.anchors import AnchorRule, cell_anchors, grid_anchors
from foveal.ops.iou import box_iou
from foveal.ops.windows import nearest_cell_iou, pairs_above

LEVELS = [
    grid_anchors(cell_anchors([12, 20], [0.5, 1, 2]), 8, 7, 11),
    grid_anchors(cell_anchors([30, 44], [0.5, 1, 2]), 16, 4, 6, 0.0),
    grid_anchors(cell_anchors([50], [1, 2], AnchorRule(corners="inclusive")), 32, 2, 3, 0.5, (28, 31)),
]
ANCHORS = torch.cat([level.boxes for level in LEVELS])

rows = st.tuples(st.floats(-60, 150), st.floats(-60, 150), st.floats(0.01, 1000), st.floats(0.01, 1000))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(rows, min_size=1, max_size=5), st.floats(0, 1))
def test_every_pair_that_reaches_the_floor_is_there_once(
    corners: list[tuple[float, ...]], floor: float
) -> None:
    raw = torch.tensor(corners)
    boxes = torch.cat([raw[:, :2], raw[:, :2] + raw[:, 2:]], dim=1)
    matrix = box_iou(ANCHORS[:, None], boxes[None])
    pairs = pairs_above(LEVELS, boxes, torch.full((len(boxes),), floor))
    found = torch.zeros_like(matrix, dtype=torch.int64)
    found.index_put_((pairs.anchor, pairs.box), torch.tensor(1), accumulate=True)
    assert found.max() <= 1
    assert torch.equal(pairs.iou, matrix[pairs.anchor, pairs.box])
    missed = (matrix >= floor) & (matrix > 0) & (found == 0)
    assert not missed.any(), torch.nonzero(missed)[:3]


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(rows, min_size=1, max_size=5))
def test_nearest_cells_hold_the_best_anchor(corners: list[tuple[float, ...]]) -> None:
    raw = torch.tensor(corners)
    boxes = torch.cat([raw[:, :2], raw[:, :2] + raw[:, 2:]], dim=1)
    best = box_iou(ANCHORS[:, None], boxes[None]).max(dim=0).values
    lower = nearest_cell_iou(LEVELS, boxes)
    assert (lower <= best).all(), "a lower bound lies above the best"
    torch.testing.assert_close(lower, best, rtol=1e-4, atol=1e-6)
