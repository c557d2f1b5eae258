"""hotcoco behind one door: columns in, COCO's accumulated tables out.

This is the only file that knows hotcoco.
"""

from __future__ import annotations

from typing import NamedTuple

import hotcoco
import numpy as np

from foveal.metrics.columns import DetectionColumns, to_xywh
from foveal.types import Array, GroundTruth


class CocoTables(NamedTuple):
    """COCO's tables over all pictures; -1 where there is nothing to find."""

    precision: Array
    """[T, R, K, areas, limits]: IoU thresholds, recalls, classes in the order of ``class_ids``."""
    recall: Array
    """[T, K, areas, limits]."""
    class_ids: list[int]
    limits: list[int]
    """Most detections per picture and class."""


class CocoTruth:
    """Labels as hotcoco holds them, to be compared with any number of detections."""

    def __init__(self, truth: GroundTruth) -> None:
        self._class_ids = np.asarray(truth.classes.ids, dtype=np.int64)
        self._sorted_ids = np.sort(truth.image_ids)
        numbers = self._image_numbers(truth.image_ids)
        sizes = zip(numbers.tolist(), truth.heights.tolist(), truth.widths.tolist(), strict=True)
        self._labels = hotcoco.COCO.from_arrays(
            [{"id": i, "height": h, "width": w} for i, h, w in sizes],
            [{"id": i, "name": name} for name, i in zip(*truth.classes, strict=True)],
            np.repeat(numbers, np.diff(truth.offsets)),
            self._class_ids[truth.labels],
            to_xywh(truth.boxes),
            # An annotation of id 0 counts as no match in COCO's tables, whatever it is matched with.
            ids=np.arange(1, len(truth.labels) + 1),
            area=np.asarray(truth.area, dtype=np.float64),
            iscrowd=truth.crowd.astype(np.int64),
        )

    def tables(self, found: DetectionColumns, limits: list[int]) -> CocoTables:
        """Match the detections at COCO's thresholds and sizes, and accumulate. limits: ascending."""
        numbers = self._image_numbers(found.image_ids)
        columns = [numbers, to_xywh(found.boxes), found.scores, self._class_ids[found.labels]]
        rows = np.column_stack(columns).astype(np.float64)
        evaluation = hotcoco.COCOeval(self._labels, self._labels.load_res(rows), "bbox")
        evaluation.params.max_dets = limits
        evaluation.evaluate()
        evaluation.accumulate()
        tables = evaluation.eval
        assert tables is not None
        class_ids = list(evaluation.params.cat_ids)
        return CocoTables(tables["precision"], tables["recall"], class_ids, limits)

    def _image_numbers(self, image_ids: Array) -> Array:
        """1..P in the order of the pictures' ids: results go in as float64, which holds no id over 2**53."""
        return np.searchsorted(self._sorted_ids, image_ids) + 1
