"""Merged tiles are the picture: every object once, whole, and none of its neighbours lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foveal.ops.iou import box_iou
from foveal.ops.merge_tiles import Merged, TileDetections, cut_sides, merge_tiles
from foveal.ops.tiles import cut_boxes, tile_windows

HEIGHT, WIDTH = 240, 320


def seen(boxes: Tensor, labels: Tensor, scores: Tensor, windows: Tensor) -> TileDetections:
    """What a perfect detector finds in the tiles: of every box exactly the part that is inside."""
    cut = cut_boxes(boxes, windows)
    place = cut.boxes + windows[cut.tile][:, :2].repeat(1, 2)
    return TileDetections(place, scores[cut.row], labels[cut.row], cut.tile)


def check_equal(merged: Merged, boxes: Tensor, labels: Tensor, scores: Tensor) -> None:
    order = scores.argsort(descending=True, stable=True)
    assert merged.scores.tolist() == scores[order].tolist()
    assert merged.labels.tolist() == labels[order].tolist()
    torch.testing.assert_close(merged.boxes, boxes[order].float())


@st.composite
def scenes(draw: st.DrawFn, largest: int, apart: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes with labels and scores; those of one class are not each other's NMS victims, or do not even touch."""
    rows: list[list[int]] = []
    labels: list[int] = []
    for _ in range(draw(st.integers(1, 8))):
        width, height = draw(st.integers(6, largest)), draw(st.integers(6, largest))
        x, y = draw(st.integers(0, WIDTH - width)), draw(st.integers(0, HEIGHT - height))
        box, label = [x, y, x + width, y + height], draw(st.integers(0, 1))
        others = torch.tensor([r for r, k in zip(rows, labels, strict=True) if k == label]).reshape(-1, 4)
        near = 8 if apart else 0
        grown = torch.tensor(box) + torch.tensor([-near, -near, near, near])
        if (box_iou(others.double(), grown.double()) > (0 if apart else 0.4)).any():
            continue
        rows.append(box)
        labels.append(label)
    scores = torch.tensor(draw(st.permutations(range(len(rows)))), dtype=torch.float32) / 20 + 0.4
    return torch.tensor(rows, dtype=torch.float64), torch.tensor(labels), scores


@settings(max_examples=100, deadline=None)
@given(scenes(largest=40, apart=False), st.sampled_from([100, 128, 160]))
def test_objects_within_the_overlap_come_out_as_from_the_whole_picture(
    scene: tuple[Tensor, Tensor, Tensor], tile: int
) -> None:
    """Overlapping neighbours of one class included."""
    boxes, labels, scores = scene
    windows = tile_windows(HEIGHT, WIDTH, (tile, tile), 0.4)
    merged = merge_tiles(seen(boxes, labels, scores, windows), windows, (HEIGHT, WIDTH))
    check_equal(merged, boxes, labels, scores)


@settings(max_examples=100, deadline=None)
@given(scenes(largest=200, apart=True), st.sampled_from([64, 100, 150]), st.sampled_from([0.0, 0.2, 0.5]))
def test_objects_larger_than_the_overlap_are_put_together_again(
    scene: tuple[Tensor, Tensor, Tensor], tile: int, overlap: float
) -> None:
    """Also larger than a tile, and with tiles that do not overlap; those of one class lie apart."""
    boxes, labels, scores = scene
    windows = tile_windows(HEIGHT, WIDTH, (tile, tile), overlap)
    merged = merge_tiles(seen(boxes, labels, scores, windows), windows, (HEIGHT, WIDTH))
    check_equal(merged, boxes, labels, scores)


def one_row(tile: int = 100, overlap: float = 0.2) -> Tensor:
    """Tiles side by side: 0..100, 80..180, 160..260, 220..320."""
    return tile_windows(100, WIDTH, (100, tile), overlap)


def merge(
    rows: list[tuple[list[float], float, int, int]], windows: Tensor, **options: bool
) -> list[list[float]]:
    """rows: box, score, label, tile. Merged boxes."""
    boxes, scores, labels, tile = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = TileDetections(boxes.float(), scores.float(), labels, tile)
    return merge_tiles(found, windows, (100, WIDTH), **options).boxes.tolist()


def test_a_cut_box_gives_way_to_the_whole_one() -> None:
    """Though the part has the better score: what sees all of it judges it."""
    found = TileDetections(
        torch.tensor([[84.0, 10, 100, 50], [86, 11, 118, 50]]),
        torch.tensor([0.9, 0.6]),
        torch.tensor([0, 0]),
        torch.tensor([0, 1]),
    )
    merged = merge_tiles(found, one_row(), (100, WIDTH))
    assert merged.boxes.tolist() == [[86, 11, 118, 50]]
    assert merged.scores.tolist() == pytest.approx([0.6])


def test_halves_are_put_together_side_by_side() -> None:
    """No tile saw all of it; top and bottom are those of the better view, the ends of the views that saw them."""
    left, right = [40.0, 10, 99, 50], [81.0, 12, 170, 52]
    assert merge([(left, 0.6, 0, 0), (right, 0.7, 0, 1)], one_row()) == [[40, 12, 170, 52]]


def test_a_part_that_is_only_a_sliver_of_the_whole_is_the_same_object() -> None:
    """IoU of sliver and whole is 0.1: NMS alone would keep both."""
    whole, sliver = [95.0, 10, 145, 60], [94.5, 10, 100, 60]
    assert merge([(whole, 0.8, 0, 1), (sliver, 0.7, 0, 0)], one_row()) == [whole]


def test_neighbours_of_one_class_across_a_border_both_stay() -> None:
    left, right = [60.0, 10, 98, 60], [90.0, 10, 130, 60]
    rows = [
        (left, 0.9, 0, 0),
        ([90.0, 10, 100, 60], 0.5, 0, 0),
        ([80.0, 10, 98, 60], 0.4, 0, 1),
        (right, 0.8, 0, 1),
    ]
    assert merge(rows, one_row()) == [left, right]


def test_a_small_object_before_a_large_one_of_its_class_stays() -> None:
    """Intersection over the smaller box would be 1."""
    large, small = [85.0, 0, 175, 90], [110.0, 20, 130, 40]
    part = [85.0, 0, 100, 90]
    assert merge([(large, 0.9, 0, 1), (part, 0.6, 0, 0), (small, 0.5, 0, 1)], one_row()) == [large, small]


def test_of_two_views_that_agree_the_surer_one_is_taken() -> None:
    """The left half goes with the second box, which fits it exactly, though the first would do."""
    left, other, right = [60.0, 10, 100, 50], [80.0, 18, 150, 58], [80.0, 10, 140, 50]
    rows = [(left, 0.9, 0, 0), (other, 0.8, 0, 1), (right, 0.7, 0, 1)]
    assert merge(rows, one_row()) == [[60, 10, 140, 50], other]


def test_an_object_that_goes_on_is_not_one_that_ends() -> None:
    """Where both tiles look they agree; but the second saw its object end at 86, and the first goes on to 60."""
    long, short = [60.0, 10, 100, 50], [86.0, 10, 100, 50]
    assert merge([(long, 0.9, 0, 0), (short, 0.8, 0, 1)], one_row()) == [long, short]


def test_classes_are_merged_apart() -> None:
    rows: list[tuple[list[float], float, int, int]] = [
        ([82.0, 10, 100, 50], 0.9, 1, 0),
        ([82.0, 10, 118, 50], 0.6, 0, 1),
    ]
    assert len(merge(rows, one_row())) == 2
    assert len(merge([(box, score, 0, tile) for box, score, _, tile in rows], one_row())) == 1


def test_a_part_nobody_else_saw_goes_where_it_lies_in_a_better_detection() -> None:
    """Its extent is wrong, so that it does not agree; most of it is inside the whole."""
    whole, part = [87.0, 10, 142, 60], [93.0, 12, 100, 40]
    assert merge([(whole, 0.9, 0, 1), (part, 0.5, 0, 0)], one_row()) == [whole]
    assert len(merge([(whole, 0.5, 0, 1), (part, 0.9, 0, 0)], one_row())) == 2


def test_a_part_whose_own_tile_saw_the_better_one_apart_from_it_stays() -> None:
    whole, seen_cut, part = [85.0, 10, 140, 60], [85.0, 10, 100, 60], [84.0, 5, 100, 90]
    rows = [(whole, 0.9, 0, 1), (seen_cut, 0.8, 0, 0), (part, 0.5, 0, 0)]
    assert merge(rows, one_row()) == [whole, part]


def test_the_picture_s_own_edge_cuts_nothing() -> None:
    windows = tile_windows(100, 180, (100, 100), 0.2)
    boxes = torch.tensor([[0.0, 0, 100, 100], [80, 0, 180, 100], [1, 30, 50, 99]])
    cut = cut_sides(boxes, windows[[0, 1, 0]].float(), (100, 180))
    assert cut.tolist() == [[False, False, True, False], [True, False, False, False], [False] * 4]


def test_one_window_changes_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 100, 50], [0, 2, 100, 99]])
    found = TileDetections(boxes, torch.tensor([0.3, 0.2]), torch.tensor([1, 1]), torch.tensor([0, 0]))
    merged = merge_tiles(found, torch.tensor([[0, 0, 100, 100]]), (100, 100))
    assert [merged.boxes.tolist(), merged.scores.tolist(), merged.labels.tolist()] == [
        boxes.tolist(), found.scores.tolist(), [1, 1]
    ]  # fmt: skip


def test_nothing_found_is_nothing() -> None:
    none = TileDetections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), torch.zeros(0).long())
    assert merge_tiles(none, one_row(), (100, WIDTH)).boxes.shape == (0, 4)


def test_class_agnostic_nms_takes_the_better_of_two_classes() -> None:
    rows: list[tuple[list[float], float, int, int]] = [
        ([10.0, 10, 50, 50], 0.9, 1, 0),
        ([10.0, 11, 50, 50], 0.6, 0, 0),
    ]
    assert len(merge(rows, one_row())) == 2
    assert merge(rows, one_row(), class_agnostic=True) == [[10, 10, 50, 50]]
