"""IoU assignment against torchvision's Matcher on the dense matrix: no mismatch is allowed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import Matcher

from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.matcher import match_iou
from foveal.types import AnchorLevel

CASES, CHUNKS = 1000, 5
THRESHOLDS = [(0.5, 0.4), (0.5, 0.5), (0.7, 0.3), (0.4, 0.1), (0.3, 0.0), (0.9, 0.85), (0.0, 0.0), (1.0, 0.4)]


def random_levels(rng: np.random.Generator) -> list[AnchorLevel]:
    """One to three small grids; whole and fractional sizes, centres and corners, unequal sides."""
    offset = float(rng.choice([0.0, 0.5]))
    ratios = [[1.0], [0.5, 1.0, 2.0], [0.25, 1.0, 3.7]][rng.integers(3)]
    octaves = 2.0 ** np.arange(rng.integers(1, 4)) if rng.random() < 0.5 else np.array([1.0, 1.31])
    base = float(rng.choice([6, 8, 13.7, 32]))
    levels = []
    for i in range(int(rng.integers(1, 4))):
        cell = cell_anchors(list(base * 2**i * octaves), ratios)
        height, width = (int(side) for side in rng.integers(1, 9, 2))
        levels.append(grid_anchors(cell, 8 * 2**i, height, width, offset))
    return levels


def random_boxes(rng: np.random.Generator, levels: Sequence[AnchorLevel]) -> Tensor:
    """Boxes of every kind: usual, tiny, huge, partly outside, on whole pixels (ties), repeated."""
    anchors = torch.cat([level.boxes for level in levels]).numpy()
    extent = max(max(level.height, level.width) * level.stride for level in levels)
    count = int(rng.integers(1, 9))
    boxes: list[np.ndarray] = []
    for _ in range(count):
        kind = rng.integers(6)
        centre = rng.uniform(-0.1, 1.1, 2) * extent
        size = extent * np.exp(rng.uniform(np.log(0.05), 0, 2))
        if kind == 0:
            size = rng.uniform(0.01, 3, 2)
        elif kind == 1:
            size = extent * rng.uniform(1, 6, 2)
        box = np.concatenate([centre - size / 2, centre + size / 2])
        if kind == 2:  # whole pixels on a multiple of the stride: many anchors tie
            corner = rng.integers(0, max(2, extent // 8), 2) * 8
            box = np.concatenate([corner, corner + rng.integers(1, 5, 2) * 8]).astype(float)
        elif kind == 3:  # an anchor itself, or one moved a little
            box = anchors[rng.integers(len(anchors))] + rng.choice([0.0, 1.0])
        elif kind == 4 and boxes:
            box = boxes[int(rng.integers(len(boxes)))]
        boxes.append(box)
    return torch.tensor(np.array(boxes), dtype=torch.float32)


def dense(anchors: Tensor, boxes: Tensor, fg: float, bg: float, low_quality: bool) -> Tensor:
    return Matcher(fg, bg, allow_low_quality_matches=low_quality)(torchvision.ops.box_iou(boxes, anchors))


def reachable(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Boxes that overlap some anchor: of the others, torchvision's low-quality rule makes every anchor
    without any overlap an object, which is nothing to follow (see tests/ops/test_matcher.py)."""
    return boxes[torchvision.ops.box_iou(boxes, anchors).max(dim=1).values > 0]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_mismatch_over_a_thousand_cases(chunk: int) -> None:
    per_chunk = CASES // CHUNKS
    objects = compared = 0
    for seed in range(chunk * per_chunk, (chunk + 1) * per_chunk):
        rng = np.random.default_rng(seed)
        levels = random_levels(rng)
        anchors = torch.cat([level.boxes for level in levels])
        boxes = reachable(anchors, random_boxes(rng, levels))
        low_quality = bool(rng.integers(2))
        fg, bg = THRESHOLDS[rng.integers(len(THRESHOLDS))]
        if not len(boxes):
            continue
        found = match_iou(levels, boxes, fg, bg, low_quality)
        expected = dense(anchors, boxes, fg, bg, low_quality)
        wrong = torch.nonzero(found != expected).flatten().tolist()
        assert not wrong, f"seed {seed}: anchors {wrong[:5]}, fg {fg}, bg {bg}, low quality {low_quality}"
        objects += int((found >= 0).sum())
        compared += 1
    assert compared > 0.95 * per_chunk
    assert objects > 3 * per_chunk


def test_a_real_pyramid() -> None:
    """P3-P7 with nine anchors a cell, and boxes of all scales; box order and copies included."""
    torch.manual_seed(0)
    levels = [
        grid_anchors(
            cell_anchors([32 * 2**i * 2 ** (o / 3) for o in range(3)], [0.5, 1, 2]),
            8 * 2**i,
            -(-256 // (8 * 2**i)),
            -(-320 // (8 * 2**i)),
        )
        for i in range(5)
    ]
    anchors = torch.cat([level.boxes for level in levels])
    size = torch.exp(torch.empty(60, 2).uniform_(1.0, 5.8))
    centre = torch.rand(60, 2) * torch.tensor([320.0, 256.0])
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    boxes = torch.cat([boxes, boxes[:10], boxes.round()[5:20]])
    for low_quality in (True, False):
        found = match_iou(levels, boxes, allow_low_quality=low_quality)
        expected = dense(anchors, boxes, 0.5, 0.4, low_quality)
        assert (found >= 0).sum() > 60
        assert (found == expected).all()


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize("kind", ["mixed", "tiny", "huge"])
def test_a_thousand_boxes(kind: str, low_quality: bool) -> None:
    """Boxes that no anchor reaches, that reach hundreds, and that share their best anchors with one another."""
    torch.manual_seed(1)
    levels = [
        grid_anchors(cell_anchors([4 * stride, 6 * stride], [0.5, 1, 2]), stride, 96 // stride, 128 // stride)
        for stride in (8, 16, 32)
    ]
    anchors = torch.cat([level.boxes for level in levels])
    least, most = {"mixed": (-1.0, 6.0), "tiny": (-2.0, 1.5), "huge": (5.0, 8.0)}[kind]
    size = torch.exp(torch.empty(1000, 2).uniform_(least, most))
    centre = torch.rand(1000, 2) * torch.tensor([128.0, 96.0])
    boxes = reachable(anchors, torch.cat([centre - size / 2, centre + size / 2], dim=1))
    assert len(boxes) > 900
    found = match_iou(levels, boxes, allow_low_quality=low_quality)
    expected = dense(anchors, boxes, 0.5, 0.4, low_quality)
    assert torch.equal(found, expected)
    assert (found >= 0).any() or kind == "tiny"


side = st.floats(0.125, 400, width=32)
corner = st.floats(-40, 120, width=32)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.lists(st.tuples(corner, corner, side, side), min_size=1, max_size=6),
    st.sampled_from(THRESHOLDS),
    st.booleans(),
    st.sampled_from([0.0, 0.5]),
)
def test_any_boxes(
    rows: list[tuple[float, ...]], thresholds: tuple[float, float], low: bool, offset: float
) -> None:
    levels = [
        grid_anchors(cell_anchors([16, 24], [0.5, 1, 2]), 8, 6, 9, offset),
        grid_anchors(cell_anchors([32, 48], [0.5, 1, 2]), 16, 3, 5, offset),
    ]
    anchors = torch.cat([level.boxes for level in levels])
    raw = torch.tensor(rows)
    boxes = torch.cat([raw[:, :2], raw[:, :2] + raw[:, 2:]], dim=1)
    boxes = reachable(anchors, boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)])
    if len(boxes):
        found = match_iou(levels, boxes, *thresholds, allow_low_quality=low)
        assert torch.equal(found, dense(anchors, boxes, *thresholds, low))
