"""Tiles of large pictures as pictures of their own, for any records: the same columns, cut at the windows."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from foveal.data.records import Records
from foveal.ops.tiles import Tiling, cut_boxes
from foveal.types import Array

MIN_VISIBLE = 0.3
"""Share of a box's area from which on a tile has it as an object (the DOTA devkit: 0.7; SAHI: 0.1)."""
LEAST_SIDE = 1.0
"""A cut box thinner than this, in pixels, is no object: its size in anchor units would be far out of range."""
CACHE_BYTES = 512 << 20
"""Memory of decoded pictures that one process keeps, to cut their other tiles."""
MOST_MIXED = 8
"""Pictures whose tiles are mixed with one another in training, where so many fit into half of that memory."""
_CHANNELS = 3


class PictureCache:
    """The pictures decoded last, each process its own; ``CACHE_BYTES`` of them, and always the last one."""

    def __init__(self, source: Records) -> None:
        self.source = source
        self._held: OrderedDict[int, Array] = OrderedDict()

    def load(self, picture: int) -> Array:
        """[H, W, 3] uint8 RGB of one picture, not to be written to. Errors as ``Records.load``."""
        if picture in self._held:
            self._held.move_to_end(picture)
            return self._held[picture]
        pixels = self.source.load(picture)
        self._held[picture] = pixels
        while len(self._held) > 1 and sum(held.nbytes for held in self._held.values()) > CACHE_BYTES:
            self._held.popitem(last=False)
        return pixels

    def __getstate__(self) -> dict[str, Records]:
        return {"source": self.source}  # a process that is spawned decodes for itself

    def __setstate__(self, state: dict[str, Records]) -> None:
        self.__init__(state["source"])  # type: ignore[misc]


@dataclass(frozen=True, kw_only=True)
class TiledRecords(Records):
    """Records of which every row is a tile; ids are 1..T.

    A box that a tile shows too little of is a crowd: a region that training ignores. It is no object, since nobody
    could tell what it is from that sliver, and no background, since it looks like a part of an object: to punish
    what fires there would cost the whole ones, too. (The DOTA devkit marks such boxes as difficult likewise.)
    """

    source: Records = field(repr=False)
    tiling: Tiling
    picture: Array
    """[T] int64: row of the source; the tiles of a picture stand together, row by row."""
    windows: Array
    """[T, 4] int64 xyxy in the source picture's pixels."""
    decoded: PictureCache = field(repr=False, compare=False)

    def load(self, picture: int) -> Array:
        """[h, w, 3] uint8 RGB of one tile; its picture is decoded once while it stays among the last ones."""
        x1, y1, x2, y2 = self.windows[picture].tolist()
        return self.decoded.load(int(self.picture[picture]))[y1:y2, x1:x2].copy()

    @property
    def mixed(self) -> int:
        """How many pictures' tiles may be mixed in training without their being decoded again and again."""
        if not len(self.source):
            return 1
        largest = int((self.source.heights * self.source.widths).max()) * _CHANNELS
        return max(1, min(MOST_MIXED, CACHE_BYTES // (2 * largest)))


def tile_records(
    records: Records, tiling: Tiling, min_visible: float = MIN_VISIBLE, keep_empty: float = 1.0
) -> TiledRecords:
    """Every picture as its tiles; one that is no larger than a tile stays as it is, boxes and all.

    min_visible: share of its area from which on a cut box is an object of the tile; below, the tile ignores the
    region. keep_empty: share of the tiles without an object that are kept, drawn once and for all; a picture that
    is not cut is kept in any case. A tile bears its picture's id.
    """
    cut = _cut(records, tiling, min_visible)
    counts = np.bincount(cut.tile, minlength=len(cut.windows))
    objects = np.bincount(cut.tile[~cut.crowd], minlength=len(cut.windows))
    tiles_of = np.bincount(cut.picture, minlength=len(records))
    kept = np.ones(len(cut.windows), dtype=bool)
    empty = np.flatnonzero((objects == 0) & (tiles_of[cut.picture] > 1))
    dropped = len(empty) - round(len(empty) * keep_empty)
    kept[np.random.default_rng(0).permutation(empty)[:dropped]] = False
    rows = kept[cut.tile]
    sides = cut.windows[kept]
    picture = cut.picture[kept]
    return TiledRecords(
        root=records.root,
        files=records.files[picture],
        image_ids=records.image_ids[picture],
        heights=sides[:, 3] - sides[:, 1],
        widths=sides[:, 2] - sides[:, 0],
        offsets=np.concatenate(([0], np.cumsum(counts[kept]))),
        boxes=cut.boxes[rows],
        labels=records.labels[cut.row[rows]],
        crowd=cut.crowd[rows],
        area=records.area[cut.row[rows]] * cut.visible[rows],
        classes=records.classes,
        faults=records.faults,
        source=records,
        tiling=tiling,
        picture=picture,
        windows=sides,
        decoded=PictureCache(records),
    )


def numbered_tiles(records: Records, tiling: Tiling, min_visible: float = MIN_VISIBLE) -> TiledRecords:
    """All tiles, for evaluation: the id of each is its row, so that its detections find their way back."""
    tiles = tile_records(records, tiling, min_visible)
    return replace(tiles, image_ids=np.arange(len(tiles)))


class _Cut(NamedTuple):
    """All tiles of a set, and what they show: columns over tiles, then columns over rows, tile by tile."""

    picture: Array
    windows: Array
    tile: Array
    row: Array
    boxes: Array
    crowd: Array
    visible: Array


def _cut(records: Records, tiling: Tiling, min_visible: float) -> _Cut:
    windows_of = cache(lambda height, width: tiling.windows(height, width).numpy())
    columns: list[list[Array]] = [[column] for column in _NO_TILES]
    tiles = 0
    for picture, size in enumerate(zip(records.heights.tolist(), records.widths.tolist(), strict=True)):
        windows = windows_of(*size)
        first, last = records.offsets[picture : picture + 2]
        boxes, crowd = records.boxes[first:last], records.crowd[first:last]
        if len(windows) > 1:
            tile, row, *shown = _shown(boxes, crowd, windows, min_visible)
        else:
            row, *shown = np.arange(last - first), boxes, crowd, np.ones(last - first)
            tile = np.zeros_like(row)
        values = (np.full(len(windows), picture), windows, tile + tiles, row + first, *shown)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        tiles += len(windows)
    return _Cut(*(np.concatenate(column) for column in columns))


_NO_TILES = _Cut(
    *(
        np.zeros(shape, kind)
        for shape, kind in ((0, np.int64), ((0, 4), np.int64), (0, np.int64), (0, np.int64))
    ),
    *(np.zeros(shape, kind) for shape, kind in (((0, 4), np.float64), (0, bool), (0, np.float64))),
)


def _shown(boxes: Array, crowd: Array, windows: Array, min_visible: float) -> tuple[Array, ...]:
    """Tile, row, box, crowd and visible share of what the windows of one picture show of its boxes."""
    parts = cut_boxes(torch.from_numpy(boxes), torch.from_numpy(windows))
    tile, row, cut, visible = (part.numpy() for part in parts)
    sides = cut[:, 2:] - cut[:, :2]
    # The small number is float's rounding error in the share.
    recognisable = (visible >= min_visible - 1e-9) & (sides >= LEAST_SIDE).all(axis=1)
    return tile, row, cut, crowd[row] | ~((visible == 1) | recognisable), visible
