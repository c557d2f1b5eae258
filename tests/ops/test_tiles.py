"""Windows cover every pixel; a tile shows of a box what lies inside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.ops.tiles import Tiling, cut_boxes, tile_windows

SIDES = st.integers(1, 120)


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9))
def test_windows_cover_every_pixel_at_full_size(
    height: int, width: int, tile_height: int, tile_width: int, overlap: float
) -> None:
    windows = tile_windows(height, width, (tile_height, tile_width), overlap).tolist()
    seen = np.zeros((height, width), dtype=int)
    for x1, y1, x2, y2 in windows:
        assert x1 >= 0
        assert y1 >= 0
        assert x2 <= width
        assert y2 <= height
        assert (x2 - x1, y2 - y1) == (min(width, tile_width), min(height, tile_height))
        seen[y1:y2, x1:x2] += 1
    assert (
        seen.min() == 1
        if overlap == 0 and height % tile_height == width % tile_width == 0
        else seen.min() >= 1
    )
    assert len(set(map(tuple, windows))) == len(windows)


@settings(max_examples=100, deadline=None)
@given(st.integers(50, 300), st.integers(10, 49), st.floats(0, 0.9), st.data())
def test_what_is_no_larger_than_the_overlap_is_whole_somewhere(
    side: int, tile: int, overlap: float, data: st.DataObject
) -> None:
    extent = data.draw(st.integers(0, math.floor(tile * overlap)))
    start = data.draw(st.integers(0, side - extent))
    windows = tile_windows(side, 1, (tile, 1), overlap).tolist()
    assert any(top <= start and start + extent <= bottom for _, top, _, bottom in windows)


def test_the_windows_of_a_known_picture() -> None:
    """2048 x 1371 in tiles of 512 with a fifth shared: steps of 409, the last ones moved in."""
    windows = Tiling(512, 512, 0.2).windows(1371, 2048)
    assert sorted(set(windows[:, 0].tolist())) == [0, 409, 818, 1227, 1536]
    assert sorted(set(windows[:, 1].tolist())) == [0, 409, 818, 859]
    assert windows[0].tolist() == [0, 0, 512, 512]
    assert windows[-1].tolist() == [1536, 859, 2048, 1371]
    assert len(windows) == 20


@pytest.mark.parametrize(("height", "width"), [(512, 512), (1, 1), (100, 512)])
def test_a_picture_no_larger_than_a_tile_is_one_window(height: int, width: int) -> None:
    assert tile_windows(height, width, (512, 512), 0.5).tolist() == [[0, 0, width, height]]


@pytest.mark.parametrize("overlap", [-0.1, 0.95, 1.0, float("nan")])
def test_an_overlap_that_cannot_be_is_refused(overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap"):
        tile_windows(100, 100, (50, 50), overlap)


def test_what_tiles_show_of_boxes() -> None:
    windows = tile_windows(100, 100, (60, 100), 0.2)  # rows 0..60 and 40..100
    boxes = torch.tensor([[10.0, 50, 30, 70], [0, 0, 100, 100], [5, 42, 15, 58]])
    cut = cut_boxes(boxes, windows)
    assert cut.tile.tolist() == [0, 0, 0, 1, 1, 1]
    assert cut.row.tolist() == [0, 1, 2, 0, 1, 2]
    assert cut.visible.tolist() == pytest.approx([0.5, 0.6, 1, 1, 0.6, 1])
    assert cut.boxes[0].tolist() == [10, 50, 30, 60]
    assert cut.boxes[3].tolist() == [10, 10, 30, 30]
    assert cut.boxes[5].tolist() == [5, 2, 15, 18]


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 90), st.floats(0, 0.8), st.data())
def test_a_box_and_its_tiles_go_round(tile: int, overlap: float, data: st.DataObject) -> None:
    """Put back at their windows, the pieces of a box are the box; whole ones have share 1, others less."""
    x1, y1 = data.draw(st.floats(0, 150)), data.draw(st.floats(0, 110))
    box = [x1, y1, data.draw(st.floats(x1 + 0.01, 160)), data.draw(st.floats(y1 + 0.01, 120))]
    boxes = torch.tensor([box], dtype=torch.float64)
    windows = tile_windows(120, 160, (tile, tile), overlap)
    cut = cut_boxes(boxes, windows)
    back = cut.boxes + windows[cut.tile][:, :2].repeat(1, 2)
    torch.testing.assert_close(back[:, :2].amin(dim=0), boxes[0, :2])
    torch.testing.assert_close(back[:, 2:].amax(dim=0), boxes[0, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod()
    torch.testing.assert_close((cut.boxes[:, 2:] - cut.boxes[:, :2]).prod(dim=1), cut.visible * area)
    sides = windows[cut.tile]
    inside = (sides[:, :2] <= boxes[0, :2]).all(1) & (sides[:, 2:] >= boxes[0, 2:]).all(1)
    assert (cut.visible[inside] == 1).all()
    assert (cut.visible[~inside] < 1).all()
