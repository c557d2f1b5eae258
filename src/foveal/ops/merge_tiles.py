"""Detections of a picture's tiles -> detections of the picture: every object once, and whole.

A tile's border cuts objects, and its neighbour sees them again. Two detections of different tiles are views of one
object where they agree on the part that both tiles can see: IoU of the boxes cut at the common window. A cut box
then agrees with the whole one however little of it the tile saw, and does not agree with a neighbour of its class
that overlaps it elsewhere. SAHI (postprocess/combine.py, GREEDYNMM) takes the intersection over the smaller box
for this, which also merges a small object with a large one behind it; here such a measure is left to parts that
have no second view.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.ops.iou import box_iou, intersection_over_area
from foveal.ops.nms import suppress
from foveal.types import Candidates

BORDER = 2.0
BORDER_SHARE = 0.1
"""A box counts as cut where its side is nearer to an inner border than the larger of two pixels and a tenth of
its own extent: a network places the side of a cut object with about that error."""
SEAM = 1.0
"""Pixels by which windows and cut boxes are taken to go on beyond the border, so that the halves on the two sides
of a border meet where tiles do not overlap."""


class TileDetections(NamedTuple):
    """Detections of all tiles of one picture, in the picture's pixels."""

    boxes: Tensor
    """[D, 4] xyxy."""
    scores: Tensor
    """[D]."""
    labels: Tensor
    """[D] int64."""
    tile: Tensor
    """[D] int64, row of the windows."""


class Merged(NamedTuple):
    """Detections of one picture, best first."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def merge_tiles(
    found: TileDetections,
    windows: Tensor,
    size: tuple[int, int],
    nms_thresh: float = 0.5,
    class_agnostic: bool = False,
) -> Merged:
    """Join the views of each object, drop parts that a neighbour explains, then NMS over the picture.

    windows: [T, 4] of ``tile_windows``. size: height and width of the picture. nms_thresh, class_agnostic: the
    model's own; from the threshold on two views agree. An object gets box and score of its best view that is not
    cut; where all are, the best score, and a box put together from them. With a single window nothing changes.
    """
    if len(windows) > 1 and len(found.scores):
        wide = found._replace(boxes=found.boxes.double())
        found = _joined(wide, windows.double(), size, nms_thresh)
    candidates = Candidates(found.boxes[None], found.scores[None], found.labels[None])
    kept = suppress(candidates, nms_thresh, class_agnostic, None)
    count = int(kept.count[0])
    return Merged(kept.boxes[0, :count].float(), kept.scores[0, :count], kept.labels[0, :count])


def cut_sides(boxes: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """[D, 4] whether an inner border of its tile cuts each side of a box; the picture's own edge cuts nothing.

    boxes, windows: [D, 4] xyxy, each box with its tile's window.
    """
    height, width = size
    extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    near = (boxes - windows).abs() <= (extent * BORDER_SHARE).clamp(min=BORDER)
    inner = torch.cat([windows[:, :2] > 0, windows[:, 2:] < windows.new_tensor([width, height])], dim=1)
    return near & inner


def _joined(found: TileDetections, windows: Tensor, size: tuple[int, int], thresh: float) -> TileDetections:
    """One detection per object, in no order; ``tile`` becomes the number of its group of views."""
    cut = cut_sides(found.boxes, windows[found.tile], size)
    whole = ~cut.any(dim=1)
    group = _groups(found.tile.tolist(), _links(found, windows, cut, thresh)).to(found.tile.device)
    best = _best_of_groups(group, whole, found.scores)
    number = group[best]
    boxes = torch.where(whole[best, None], found.boxes[best], _put_together(found, cut, group))
    joined = TileDetections(boxes, found.scores[best], found.labels[best], number)
    alone = ~whole[best] & (group.bincount(minlength=len(group))[number] == 1)
    keep = ~_explained(joined, alone, found.tile, group, windows, thresh)
    return TileDetections(*(column[keep] for column in joined))


def _links(found: TileDetections, windows: Tensor, cut: Tensor, thresh: float) -> list[tuple[int, int]]:
    """Pairs of views that agree, the surest first: agreement times the lower score."""
    seam = windows.new_tensor([-SEAM, -SEAM, SEAM, SEAM])
    # A cut object goes on: its box ends beyond the border, wherever the network has put that side.
    reaching = torch.where(cut, windows[found.tile] + seam, found.boxes)
    pairs, weights = [], []
    for tile, here in _by_tile(found.tile):
        common = _cut_at(windows, windows[tile]) + seam
        meets = (common[:, 2:] > common[:, :2]).all(dim=1)
        meets[: tile + 1] = False  # each pair of tiles once
        there = meets[found.tile].nonzero()[:, 0]
        if not len(there):
            continue
        shared = common[found.tile[there]]
        agreement = _seen_iou(_cut_at(reaching[here][:, None], shared), _cut_at(reaching[there], shared))
        fits = (
            (found.labels[here][:, None] == found.labels[there])
            & _may_go_on(found.boxes[here][:, None], windows[found.tile[there]], cut[there])
            & _may_go_on(found.boxes[there], windows[tile], cut[here][:, None])
        )
        a, b = ((agreement > thresh) & fits).nonzero().unbind(1)
        pairs.append(torch.stack([here[a], there[b]], dim=1))
        weights.append(agreement[a, b] * torch.minimum(found.scores[here[a]], found.scores[there[b]]))
    if not pairs:
        return []
    order = torch.cat(weights).argsort(descending=True, stable=True)
    return [(a, b) for a, b in torch.cat(pairs)[order].tolist()]


def _groups(tile: list[int], links: list[tuple[int, int]]) -> Tensor:
    """[D] number of each detection's group; no group has two views of one tile, which told them apart."""
    parent = list(range(len(tile)))
    tiles = [{t} for t in tile]

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for link in links:
        a, b = map(root, link)
        if a != b and tiles[a].isdisjoint(tiles[b]):
            parent[b] = a
            tiles[a] |= tiles[b]
    return torch.tensor([root(place) for place in range(len(tile))], dtype=torch.int64)


def _best_of_groups(group: Tensor, preferred: Tensor, scores: Tensor) -> Tensor:
    """[G] place of each group's best-scoring detection, of the preferred ones where it has any."""
    order = scores.argsort(descending=True, stable=True)
    order = order[preferred[order].long().argsort(descending=True, stable=True)]
    order = order[group[order].argsort(stable=True)]
    number = group[order]
    first = torch.cat([number.new_ones(1, dtype=torch.bool), number[1:] != number[:-1]])
    return order[first]


def _put_together(found: TileDetections, cut: Tensor, group: Tensor) -> Tensor:
    """[G, 4] each side of every group's box: of the best view that is not cut there, or else the outermost."""
    sides = []
    for side, outermost in enumerate(("amin", "amin", "amax", "amax")):
        value = found.boxes[:, side]
        best = _best_of_groups(group, ~cut[:, side], found.scores)
        outer = value.scatter_reduce(0, group, value, outermost)[group[best]]
        sides.append(torch.where(cut[best, side], outer, value[best]))
    return torch.stack(sides, dim=1)


def _explained(
    joined: TileDetections, alone: Tensor, tile: Tensor, group: Tensor, windows: Tensor, thresh: float
) -> Tensor:
    """[G] whether a part without a second view lies in a better detection of its class from other tiles.

    Measured over the part's own area: IoU of a part and the whole is small however well they fit. An object that
    the part's own tile saw, too, explains nothing: the tile told the two apart.
    """
    explained = torch.zeros_like(alone)
    parts = alone.nonzero()[:, 0]
    for number, here in _by_tile(tile[joined.tile[parts]]):
        part = parts[here]
        seen = alone.new_zeros(len(group))
        seen[group[tile == number]] = True
        inside = _cut_at(joined.boxes, windows[number])
        shown = (inside[:, 2:] > inside[:, :2]).all(dim=1)
        other = (shown & ~seen[joined.tile]).nonzero()[:, 0]
        share = intersection_over_area(joined.boxes[part][:, None], joined.boxes[other])
        better = joined.scores[other] > joined.scores[part][:, None]
        same = joined.labels[other] == joined.labels[part][:, None]
        explained[part] = ((share > thresh) & better & same).any(dim=1)
    return explained


def _by_tile(tile: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each tile that has detections, with their places."""
    order = tile.argsort(stable=True)
    numbers, counts = tile[order].unique_consecutive(return_counts=True)
    yield from zip(numbers.tolist(), order.split(counts.tolist()), strict=True)


def _cut_at(boxes: Tensor, window: Tensor) -> Tensor:
    """Boxes [..., 4] cut at a window; where they do not meet, the right lies left of the left."""
    low = torch.maximum(boxes[..., :2], window[..., :2])
    return torch.cat([low, torch.minimum(boxes[..., 2:], window[..., 2:])], dim=-1)


def _seen_iou(mine: Tensor, theirs: Tensor) -> Tensor:
    """[n, m] IoU of what is left of boxes [n, m, 4] and [m, 4] after a cut; 0 where nothing is left of one."""
    left = (mine[..., 2:] > mine[..., :2]).all(dim=-1) & (theirs[..., 2:] > theirs[..., :2]).all(dim=-1)
    return torch.where(left, box_iou(mine, theirs), 0.0)


def _may_go_on(boxes: Tensor, window: Tensor, cut: Tensor) -> Tensor:
    """Whether each box leaves the window only at sides where the window's own view is cut, too."""
    leaves = torch.cat(
        [boxes[..., :2] < window[..., :2] - SEAM, boxes[..., 2:] > window[..., 2:] + SEAM], dim=-1
    )
    return (~leaves | cut).all(dim=-1)
