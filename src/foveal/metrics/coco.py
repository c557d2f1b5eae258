"""The twelve COCO numbers of a set of detections, equal to pycocotools to the last bit.

The means over COCO's tables are taken in pycocotools' order of summation, so that the figures are the same and not
merely close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from foveal.errors import DataError, DivergedError
from foveal.metrics.coco_tables import CocoTables, CocoTruth
from foveal.metrics.columns import DetectionColumns, DetectionStore, to_xywh
from foveal.metrics.matching import AREAS
from foveal.ops.letterbox import undo_boxes
from foveal.types import Array, Batch, BatchDetections, GroundTruth

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Names of the twelve numbers, in the order in which COCO prints them."""
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)
_IOU50, _IOU75 = 0, 5


class ClassResult(NamedTuple):
    """How well one class was found; a number is None where the class has no box to find."""

    name: str
    id: int
    """The class's id in the data set's own files."""
    pictures: int
    """Pictures that hold the class (crowds not counted)."""
    boxes: int
    """Boxes of the class (crowds not counted)."""
    AP: float | None
    AP50: float | None
    AP75: float | None
    AR100: float | None


class SizeResult(NamedTuple):
    """AP of one class by COCO's sizes (areas up to 32 x 32, up to 96 x 96, over it); None without such a box."""

    name: str
    boxes: tuple[int, int, int]
    """Small, medium, large (crowds not counted); a box on a border counts on both sides, as in COCO."""
    APs: float | None
    APm: float | None
    APl: float | None


class CocoEvaluator:
    """Collects detections over a data set and reduces them to the COCO numbers (an ``Evaluator``).

    Every picture of the ground truth counts, also one that was never given: its boxes are then missed.
    A picture given twice is an error, except to ``merge`` (see ``DetectionStore``).
    max_detections: most detections per picture and class; the "100" of AR100 is capped by it.
    """

    def __init__(self, ground_truth: GroundTruth, max_detections: int = 100) -> None:
        if max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, got {max_detections}")
        self.ground_truth = ground_truth
        self.max_detections = max_detections
        self._truth: CocoTruth | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self._store = DetectionStore(self.ground_truth)
        self._tables: CocoTables | None = None

    def update(self, detections: BatchDetections, batch: Batch) -> None:
        """Add a batch of detections in canvas pixels; of each picture the first ``count`` places.

        DivergedError where a score or a box is NaN or infinite; DataError as ``add``.
        """
        boxes = detections.boxes.detach().cpu().to(torch.float64)
        scores = detections.scores.detach().cpu().to(torch.float64).numpy()
        labels = detections.labels.detach().cpu().numpy()
        counts = detections.count.tolist()
        for row, (image_id, letterbox) in enumerate(zip(batch.image_ids, batch.letterboxes, strict=True)):
            kept = slice(0, counts[row])
            # Asked before the boxes are clipped to the picture, which would hide an infinite one.
            if not (np.isfinite(scores[row, kept]).all() and boxes[row, kept].isfinite().all()):
                raise DivergedError(
                    f"picture {image_id}: the network gave a score or a box that is not a finite number; "
                    "its weights have diverged: take an earlier checkpoint or a lower learning rate"
                )
            original = undo_boxes(boxes[row, kept], letterbox).numpy()
            self.add(image_id, original, scores[row, kept], labels[row, kept])

    def add(self, image_id: int, boxes: Any, scores: Any, labels: Any) -> None:
        """Add one picture's detections, in its original pixels; see ``DetectionStore.add``."""
        self._store.add(image_id, boxes, scores, labels)
        self._tables = None

    def columns(self) -> DetectionColumns:
        """All detections so far as columns, for saving or for ``merge`` in another process."""
        return self._store.columns()

    def merge(self, others: Iterable[DetectionColumns]) -> None:
        """Take in what other processes collected; a picture that is there already is passed over."""
        self._store.merge(others)
        self._tables = None

    def compute(self) -> dict[str, float | None]:
        """The twelve numbers by the names of ``COCO_METRICS``; None where there is nothing to find."""
        tables = self._evaluated()
        precision, recall = tables.precision, tables.recall
        top, hundred, ten, one = (tables.limits.index(min(n, self.max_detections)) for n in self._limits())
        return {
            "AP": _mean(precision[:, :, :, _ALL, top]),
            "AP50": _mean(precision[_IOU50, :, :, _ALL, top]),
            "AP75": _mean(precision[_IOU75, :, :, _ALL, top]),
            "APs": _mean(precision[:, :, :, _SMALL, top]),
            "APm": _mean(precision[:, :, :, _MEDIUM, top]),
            "APl": _mean(precision[:, :, :, _LARGE, top]),
            "AR1": _mean(recall[:, :, _ALL, one]),
            "AR10": _mean(recall[:, :, _ALL, ten]),
            "AR100": _mean(recall[:, :, _ALL, hundred]),
            "ARs": _mean(recall[:, :, _SMALL, top]),
            "ARm": _mean(recall[:, :, _MEDIUM, top]),
            "ARl": _mean(recall[:, :, _LARGE, top]),
        }

    def per_class(self) -> list[ClassResult]:
        """One row per class, in model order, also for a class without a box."""
        tables = self._evaluated()
        top, hundred, *_ = (tables.limits.index(min(n, self.max_detections)) for n in self._limits())
        truth = self.ground_truth
        picture = np.repeat(np.arange(len(truth.image_ids)), np.diff(truth.offsets))
        rows = []
        for index, (name, class_id) in enumerate(zip(*truth.classes, strict=True)):
            mine = (truth.labels == index) & ~truth.crowd
            k = tables.class_ids.index(class_id)
            rows.append(
                ClassResult(
                    name,
                    class_id,
                    len(np.unique(picture[mine])),
                    int(mine.sum()),
                    _mean(tables.precision[:, :, k, _ALL, top]),
                    _mean(tables.precision[_IOU50, :, k, _ALL, top]),
                    _mean(tables.precision[_IOU75, :, k, _ALL, top]),
                    _mean(tables.recall[:, k, _ALL, hundred]),
                )
            )
        return rows

    def per_class_sizes(self) -> list[SizeResult]:
        """One row per class, in model order."""
        tables, truth = self._evaluated(), self.ground_truth
        top = tables.limits.index(self.max_detections)
        rows = []
        for index, (name, class_id) in enumerate(zip(*truth.classes, strict=True)):
            areas = truth.area[(truth.labels == index) & ~truth.crowd]
            small, medium, large = (
                int(((areas >= low) & (areas <= high)).sum()) for low, high in AREAS.values()
            )
            k = tables.class_ids.index(class_id)
            by_size = (_mean(tables.precision[:, :, k, size, top]) for size in (_SMALL, _MEDIUM, _LARGE))
            rows.append(SizeResult(name, (small, medium, large), *by_size))
        return rows

    def to_coco(self) -> list[dict[str, Any]]:
        """The detections as COCO results: ``image_id, category_id, bbox`` (x, y, w, h) and ``score``."""
        columns = self.columns()
        ids = np.asarray(self.ground_truth.classes.ids, dtype=np.int64)[columns.labels].tolist()
        boxes = to_xywh(columns.boxes).tolist()
        rows = zip(columns.image_ids.tolist(), ids, boxes, columns.scores.tolist(), strict=True)
        return [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in rows]

    def _limits(self) -> tuple[int, int, int, int]:
        return self.max_detections, 100, 10, 1

    def _evaluated(self) -> CocoTables:
        if self._tables is None:
            if self._truth is None:
                self._truth = CocoTruth(self.ground_truth)
            limits = sorted({min(n, self.max_detections) for n in self._limits()})
            self._tables = self._truth.tables(self.columns(), limits)
        return self._tables


def evaluate_coco(
    ground_truth: GroundTruth, results: Sequence[Mapping[str, Any]], max_detections: int = 100
) -> dict[str, float | None]:
    """The twelve numbers of a list of COCO results (``image_id, category_id, bbox, score``).

    DataError where a result names an unknown picture or class, lacks a field or holds a bad number.
    """
    evaluator = CocoEvaluator(ground_truth, max_detections)
    index = {class_id: label for label, class_id in enumerate(ground_truth.classes.ids)}
    pictures: dict[int, list[tuple[list[float], float, int]]] = {}
    for place, row in enumerate(results):
        try:
            x, y, width, height = (float(value) for value in row["bbox"])
            label, image_id, score = index.get(row["category_id"]), int(row["image_id"]), float(row["score"])
        except (KeyError, TypeError, ValueError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"result {place}: {what}; COCO results need {_RESULT_FIELDS}") from None
        if label is None:
            raise DataError(
                f"result {place}: category_id {row['category_id']} is no class of the ground truth"
            )
        entry = ([x, y, x + width, y + height], score, label)
        pictures.setdefault(image_id, []).append(entry)
    for image_id, entries in pictures.items():
        evaluator.add(image_id, *zip(*entries, strict=True))
    return evaluator.compute()


_RESULT_FIELDS = "image_id, category_id, bbox [x, y, w, h] and score"


def _mean(values: Array) -> float | None:
    values = values[values > -1]
    return float(np.mean(values)) if values.size else None
