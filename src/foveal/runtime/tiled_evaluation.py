"""Detections of tiles, measured as detections of the whole pictures."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import torch

from foveal.config.schema import PostprocessorParams
from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.metrics.coco import CocoEvaluator
from foveal.metrics.columns import DetectionColumns
from foveal.ops.merge_tiles import TileDetections, merge_tiles
from foveal.types import Array


def coco_evaluator(records: Records, params: PostprocessorParams) -> CocoEvaluator:
    """The evaluator of what a loader of ``records`` yields: in whole pictures, also where these are tiles.

    records: pictures, or the ``numbered_tiles`` of some. params: of the model, for the merging.
    """
    if isinstance(records, TiledRecords):
        return TiledEvaluator(records, params)
    return CocoEvaluator(records.ground_truth())


class _Part(NamedTuple):
    """Detections of one tile, in its picture's pixels."""

    boxes: Array
    scores: Array
    labels: Array
    tile: int
    """Row among the tiles of its picture."""


class TiledEvaluator(CocoEvaluator):
    """Takes detections tile by tile, and measures each picture's once all of its tiles are there.

    Everything it gives out is of the whole pictures: the numbers, the columns and their picture ids.
    """

    def __init__(self, tiles: TiledRecords, params: PostprocessorParams) -> None:
        self.tiles = tiles
        self.params = params
        self._first = np.searchsorted(tiles.picture, np.arange(len(tiles.source)))
        self._count = np.bincount(tiles.picture, minlength=len(tiles.source))
        self._parts: dict[int, list[_Part]] = defaultdict(list)
        super().__init__(tiles.source.ground_truth())

    def reset(self) -> None:
        """Forget all detections."""
        self._parts.clear()
        super().reset()

    def add(self, image_id: int, boxes: Any, scores: Any, labels: Any) -> None:
        """Add one tile's detections, in its own pixels. image_id: its row among the tiles."""
        picture = int(self.tiles.picture[image_id])
        x1, y1 = self.tiles.windows[image_id, :2]
        placed = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + [x1, y1, x1, y1]
        part = _Part(placed, np.asarray(scores), np.asarray(labels), image_id - int(self._first[picture]))
        self._parts[picture].append(part)
        if len(self._parts[picture]) == self._count[picture]:
            self._merge(picture)

    def columns(self) -> DetectionColumns:
        """All detections so far, of pictures of which not every tile was given, too."""
        for picture in list(self._parts):
            self._merge(picture)
        return super().columns()

    def _merge(self, picture: int) -> None:
        parts = self._parts.pop(picture)
        tiles, first = self.tiles, self._first[picture]
        counts = [len(part.scores) for part in parts]
        found = TileDetections(
            torch.from_numpy(np.concatenate([part.boxes for part in parts])),
            torch.from_numpy(np.concatenate([part.scores for part in parts])),
            torch.from_numpy(np.concatenate([part.labels for part in parts])),
            torch.tensor([part.tile for part in parts]).repeat_interleave(torch.tensor(counts)),
        )
        windows = torch.from_numpy(tiles.windows[first : first + self._count[picture]])
        size = int(tiles.source.heights[picture]), int(tiles.source.widths[picture])
        merged = merge_tiles(found, windows, size, self.params.nms_thresh, self.params.class_agnostic)
        super().add(int(tiles.source.image_ids[picture]), *merged)
