"""Assignment of a batch: labels, boxes in order, crowds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from foveal.heads.anchor_decoupled.targets import Assigner, Assignment, assign
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.atss import match_atss
from foveal.ops.matcher import match_iou
from foveal.types import BACKGROUND, IGNORE, Target

LEVELS = [
    grid_anchors(cell_anchors([16], [1.0]), 16, 4, 4),
    grid_anchors(cell_anchors([32], [1.0]), 32, 2, 2),
]


def target(rows: Sequence[tuple[float, ...]], labels: Sequence[int], crowd: Sequence[bool] = ()) -> Target:
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    flags = torch.tensor(list(crowd) or [False] * len(labels), dtype=torch.bool)
    return Target(boxes, torch.tensor(labels, dtype=torch.int64), flags)


def boxes_of_objects(found: Assignment) -> Tensor:
    """[P, 4] in row-major order of the labels."""
    return found.boxes[found.box[found.labels >= 0]]


def test_labels_and_boxes_of_a_batch() -> None:
    one = target([(32, 32, 64, 64), (0, 0, 16, 16)], [4, 2])
    none = target([], [])
    two = target([(16, 0, 32, 16)], [1])
    found = assign(LEVELS, [one, none, two], match_iou)
    assert found.labels.shape == (3, 20)
    assert found.labels[0, 0] == 2
    assert found.labels[0, 19] == 4
    assert (found.labels[1] == BACKGROUND).all()
    assert found.labels[2, 1] == 1
    assert boxes_of_objects(found).tolist() == [[0, 0, 16, 16], [32, 32, 64, 64], [16, 0, 32, 16]]


@pytest.mark.parametrize("assigner", [match_iou, partial(match_atss, topk=4)])
def test_boxes_follow_the_labels_row_by_row(assigner: Assigner) -> None:
    torch.manual_seed(0)
    targets = []
    for _ in range(3):
        corner = torch.rand(5, 2) * 40
        boxes = torch.cat([corner, corner + torch.rand(5, 2) * 24 + 8], dim=1)
        targets.append(Target(boxes, torch.arange(5), torch.zeros(5, dtype=torch.bool)))
    found = assign(LEVELS, targets, assigner)
    rows = torch.nonzero(found.labels >= 0)
    assert len(rows) > 5
    for (picture, place), box in zip(rows.tolist(), boxes_of_objects(found), strict=True):
        assert torch.equal(box, targets[picture].boxes[found.labels[picture, place]])


@pytest.mark.parametrize("assigner", [match_iou, match_atss])
def test_a_crowd_is_never_an_object(assigner: Assigner) -> None:
    found = assign(LEVELS, [target([(0, 0, 32, 32)], [3], [True])], assigner)
    assert not (found.labels >= 0).any()
    inside = [0, 1, 4, 5, 16]
    assert (found.labels[0, inside] == IGNORE).all()
    assert (found.labels[0] == IGNORE).sum() == len(inside)


def test_an_object_inside_a_crowd_stays_an_object() -> None:
    both = target([(0, 0, 32, 32), (0, 0, 16, 16)], [7, 3], [True, False])
    found = assign(LEVELS, [both], match_iou)
    assert found.labels[0, 0] == 3
    assert found.labels[0, 1] == IGNORE
    assert boxes_of_objects(found).tolist() == [[0, 0, 16, 16]]


def test_nothing_is_differentiated() -> None:
    boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0]], requires_grad=True)
    found = assign(LEVELS, [Target(boxes, torch.tensor([0]), torch.tensor([False]))], match_iou)
    assert not found.boxes.requires_grad


def test_the_callers_targets_are_untouched() -> None:
    given = target([(0, 0, 16, 16), (8, 8, 60, 60)], [2, 1], [False, True])
    copy: list[Tensor] = [x.clone() for x in given]
    assign(LEVELS, [given], match_iou)
    assert all(torch.equal(a, b) for a, b in zip(given, copy, strict=True))
