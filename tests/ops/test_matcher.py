"""IoU assignment: the rule on hand-made cases, ties, crowds, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.matcher import ignore_crowd, match_iou
from foveal.ops.windows import nearest_cell_iou, pairs_above
from foveal.types import BACKGROUND, IGNORE, AnchorLevel

LEVEL = grid_anchors(cell_anchors([16], [1.0]), 16, 4, 4)
"""Sixteen 16 x 16 anchors that tile a 64 x 64 picture."""


def boxes(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_object_ignored_and_background_by_iou() -> None:
    # Widths 8, 7 and 6 of 16 inside one anchor: IoU 0.5, 0.4375 and 0.375.
    truth = boxes((0, 0, 16, 8), (16, 0, 32, 7), (32, 0, 48, 6))
    found = match_iou([LEVEL], truth, allow_low_quality=False)
    assert found[:3].tolist() == [0, IGNORE, BACKGROUND]
    assert (found[3:] == BACKGROUND).all()


@pytest.mark.parametrize(("height", "expected"), [(8, 0), (7.999, IGNORE)])
def test_the_threshold_itself_is_an_object(height: float, expected: int) -> None:
    assert match_iou([LEVEL], boxes((0, 0, 16, height)), allow_low_quality=False)[0] == expected


def test_background_is_below_its_threshold_only() -> None:
    truth = boxes((0, 0, 16, 4))  # IoU exactly 0.25
    assert match_iou([LEVEL], truth, 0.5, 0.25, False)[0] == IGNORE
    assert match_iou([LEVEL], truth, 0.5, 0.2500001, False)[0] == BACKGROUND


def test_low_quality_gives_every_box_its_best_anchors() -> None:
    truth = boxes((4, 4, 8, 8), (30, 30, 34, 34))
    found = match_iou([LEVEL], truth)
    assert found[0] == 0
    # The second box lies on the corner of four anchors: all four share its best IoU.
    assert found[[5, 6, 9, 10]].tolist() == [1, 1, 1, 1]
    assert (found >= 0).sum() == 5
    assert (match_iou([LEVEL], truth, allow_low_quality=False) == BACKGROUND).all()


def test_a_low_quality_anchor_goes_to_the_box_it_overlaps_most() -> None:
    """Anchor 0 is the best of the small box, but the large box overlaps it more."""
    truth = boxes((6, 6, 8, 8), (0, 0, 16, 16))
    assert match_iou([LEVEL], truth)[0] == 1


def test_equal_boxes_go_to_the_first() -> None:
    found = match_iou([LEVEL], boxes((0, 0, 16, 16), (0, 0, 16, 16)))
    assert found[0] == 0
    assert 1 not in found


def test_a_box_without_any_overlap_makes_no_objects() -> None:
    """torchvision makes every anchor of IoU 0 an object here, which is a flood of wrong positives."""
    assert (match_iou([LEVEL], boxes((500, 500, 510, 510))) == BACKGROUND).all()


def test_no_boxes() -> None:
    found = match_iou([LEVEL], boxes())
    assert found.dtype == torch.int64
    assert found.tolist() == [BACKGROUND] * 16


def test_zero_thresholds_give_everything_to_the_best_box() -> None:
    found = match_iou([LEVEL], boxes((48, 48, 64, 64), (0, 0, 16, 16)), 0.0, 0.0, False)
    assert found[0] == 1
    assert found[1:].tolist() == [0] * 15


def test_order_of_boxes_only_renames() -> None:
    torch.manual_seed(0)
    corner, side = torch.rand(12, 2) * 60, torch.rand(12, 2) * 40 + 2
    truth = torch.cat([corner, corner + side], dim=1)
    order = torch.randperm(12)
    straight, shuffled = match_iou([LEVEL], truth), match_iou([LEVEL], truth[order])
    objects = straight >= 0
    assert objects.any()
    assert torch.equal(objects, shuffled >= 0)
    assert torch.equal(straight[objects], order[shuffled[objects]])
    assert torch.equal(straight[~objects], shuffled[~objects])


@pytest.mark.parametrize(("fg", "bg"), [(0.4, 0.5), (1.1, 0.4), (0.5, -0.1), (float("nan"), 0.4)])
def test_refuses_thresholds_out_of_order(fg: float, bg: float) -> None:
    with pytest.raises(ValueError, match="bg_iou_thresh"):
        match_iou([LEVEL], boxes((0, 0, 16, 16)), fg, bg)


def test_memory_follows_the_pairs_not_the_matrix() -> None:
    """400 small boxes on 150,000 anchors: the dense matrix alone would be 240 MB."""
    level = grid_anchors(cell_anchors([32, 40, 50], [0.5, 1, 2]), 8, 128, 130)
    torch.manual_seed(0)
    corner = torch.rand(400, 2) * 900
    truth = torch.cat([corner, corner + 20 + torch.rand(400, 2) * 30], dim=1)
    floor = torch.minimum(torch.tensor(0.4), nearest_cell_iou([level], truth))
    pairs = pairs_above([level], truth, floor)
    assert len(pairs.anchor) < 0.002 * len(level.boxes) * len(truth)


def crowd_case(
    levels: list[AnchorLevel], matched: Tensor, *regions: tuple[float, float, float, float]
) -> list[int]:
    found: list[int] = ignore_crowd(matched, levels, boxes(*regions)).tolist()
    return found


def test_crowd_hides_background_anchors_that_lie_half_inside() -> None:
    matched = torch.full((16,), BACKGROUND)
    found = crowd_case([LEVEL], matched, (0, 0, 24, 16))  # all of anchor 0, half of anchor 1
    assert found == [IGNORE, IGNORE] + [BACKGROUND] * 14
    assert crowd_case([LEVEL], matched, (0, 0, 23.9, 16)) == [IGNORE] + [BACKGROUND] * 15


def test_crowd_leaves_objects_alone() -> None:
    matched = torch.full((16,), BACKGROUND)
    matched[0], matched[1] = 3, IGNORE
    found = crowd_case([LEVEL], matched, (0, 0, 64, 64))
    assert found == [3] + [IGNORE] * 15
    assert matched[2] == BACKGROUND, "the matcher's own result was changed"


def test_crowd_regions_do_not_add_up() -> None:
    """COCO's overlap is with one region at a time."""
    found = crowd_case([LEVEL], torch.full((16,), BACKGROUND), (0, 0, 6, 16), (8, 0, 14, 16))
    assert found == [BACKGROUND] * 16


def test_no_crowd() -> None:
    matched = torch.tensor([0, BACKGROUND])
    assert ignore_crowd(matched, [LEVEL], boxes()) is matched
