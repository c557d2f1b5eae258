"""ATSS against the published algorithm, written as loops."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.atss import BOXES_AT_ONCE, match_atss
from foveal.types import BACKGROUND, AnchorLevel


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def textbook(levels: Sequence[AnchorLevel], boxes: Tensor, topk: int) -> list[int]:
    """Algorithm 1 of Zhang et al. 2020 (all anchors of the topk nearest cells of a level are candidates)."""
    anchors = torch.cat([level.boxes for level in levels]).double().tolist()
    owner: list[tuple[float, int]] = [(-1.0, BACKGROUND)] * len(anchors)
    for index, box in enumerate(boxes.double().tolist()):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        candidates: list[int] = []
        start = 0
        for level in levels:
            per_cell = len(level.cell)
            distances = []
            for cell in range(level.height * level.width):
                row, column = divmod(cell, level.width)
                centre_x, centre_y = (
                    (column + level.offset) * level.stride,
                    (row + level.offset) * level.stride,
                )
                distances.append(((centre_x - x) ** 2 + (centre_y - y) ** 2, cell))
            for _, cell in sorted(distances)[:topk]:
                candidates += range(start + cell * per_cell, start + (cell + 1) * per_cell)
            start += len(level.boxes)
        overlaps = [iou(anchors[c], box) for c in candidates]
        mean = sum(overlaps) / len(overlaps)
        variance = sum((o - mean) ** 2 for o in overlaps) / max(1, len(overlaps) - 1)
        for candidate, overlap in zip(candidates, overlaps, strict=True):
            a = anchors[candidate]
            middle_x, middle_y = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
            inside = min(middle_x - box[0], middle_y - box[1], box[2] - middle_x, box[3] - middle_y) > 0.01
            if inside and overlap >= mean + variance**0.5 and overlap > owner[candidate][0]:
                owner[candidate] = (overlap, index)
    return [box for _, box in owner]


def levels_of(per_cell: int, offset: float = 0.5) -> list[AnchorLevel]:
    ratios = [1.0] if per_cell == 1 else [0.5, 1.0, 2.0]
    sizes = [[32.0], [64.0], [128.0]]
    return [
        grid_anchors(cell_anchors(size, ratios), 8 * 2**i, 16 // 2**i, 20 // 2**i, offset)
        for i, size in enumerate(sizes)
    ]


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = torch.exp(torch.rand(count, 2, generator=generator) * 3.2 + 1.6)
    centre = torch.rand(count, 2, generator=generator) * torch.tensor([160.0, 128.0])
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


@pytest.mark.parametrize("per_cell", [1, 3])
@pytest.mark.parametrize("topk", [1, 4, 9])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_equals_the_textbook(per_cell: int, topk: int, offset: float) -> None:
    levels = levels_of(per_cell, offset)
    objects = 0
    for seed in range(6):
        boxes = random_boxes(1 + 3 * seed, seed)
        found = match_atss(levels, boxes, topk)
        assert found.tolist() == textbook(levels, boxes, topk), f"seed {seed}"
        objects += int((found >= 0).sum())
    assert objects > 20


def test_more_boxes_than_are_held_at_once() -> None:
    levels = levels_of(1)
    boxes = random_boxes(BOXES_AT_ONCE + 17, 0)
    found = match_atss(levels, boxes)
    assert found.tolist() == textbook(levels, boxes, 9)
    assert (found >= BOXES_AT_ONCE).any()


def test_equal_boxes_go_to_the_first_also_in_another_block() -> None:
    box = torch.tensor([[40.3, 40.1, 72.2, 72.7]])
    found = match_atss(levels_of(1), box.repeat(BOXES_AT_ONCE + 2, 1))
    assert set(found.tolist()) == {BACKGROUND, 0}


def test_no_boxes() -> None:
    found = match_atss(levels_of(1), torch.zeros(0, 4))
    assert found.dtype == torch.int64
    assert (found == BACKGROUND).all()


def test_fewer_cells_than_topk() -> None:
    levels = [grid_anchors(cell_anchors([32], [1.0]), 32, 1, 3)]
    boxes = torch.tensor([[2.0, 3.0, 30.0, 29.0]])
    assert match_atss(levels, boxes, 9).tolist() == textbook(levels, boxes, 9) == [0, BACKGROUND, BACKGROUND]


def test_a_lone_candidate_is_taken() -> None:
    """One value has no standard deviation; NaN would leave the box without any object."""
    levels = [grid_anchors(cell_anchors([32], [1.0]), 32, 1, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert match_atss(levels, torch.tensor([[2.0, 3.0, 30.0, 29.0]])).tolist() == [0]
