"""Which class is taken for which, at the thresholds that a user acts on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from foveal.metrics.columns import DetectionColumns
from foveal.metrics.matching import NONE, Matching, box_overlaps
from foveal.types import Array, GroundTruth


class Confusion(NamedTuple):
    """Counts of boxes and detections; class K is the background."""

    names: tuple[str, ...]
    """The K class names."""
    counts: Array
    """[K + 1, K + 1] int64, row: the box's class, column: the detection's. ``[k, K]``: boxes that nothing finds;
    ``[K, k]``: detections on no box; the last cell is 0."""

    def precision(self, label: int) -> float | None:
        """Share of the class's detections that are right; None without one."""
        return _share(self.counts[label, label], self.counts[:, label].sum())

    def recall(self, label: int) -> float | None:
        """Share of the class's boxes that are found; None without one."""
        return _share(self.counts[label, label], self.counts[label].sum())


def kept_by(
    matching: Matching, names: tuple[str, ...], thresholds: Mapping[str, float], default: float
) -> Array:
    """[D] bool: detections whose score is above their class's threshold (``default`` where it has none)."""
    limits = np.array([thresholds.get(name, default) for name in names], dtype=np.float64)
    return np.asarray(matching.scores > limits[matching.labels])


def confusion_matrix(
    truth: GroundTruth, found: DetectionColumns, matching: Matching, kept: Array, iou: float = 0.5
) -> Confusion:
    """Count the kept detections against the boxes, first within classes, then across.

    A detection that is right stays right: only those that find no box of their own class are given to the boxes
    that are left, best score first, each to the one that it overlaps most, at IoU ``iou`` or more. So the diagonal
    holds the same true positives as the precision and recall curves. matching: at ``iou``; kept: [D] bool.
    """
    classes = len(truth.classes.names)
    counts = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    right = kept & (matching.found[0] != NONE)
    np.add.at(counts, (matching.labels[right], matching.labels[right]), 1)
    left = ~truth.crowd
    left[matching.found[0][right]] = False
    wrong = np.flatnonzero(kept & ~right & ~matching.ignored[0])
    for picture, places in _by_picture(matching.pictures, wrong):
        boxes = np.arange(truth.offsets[picture], truth.offsets[picture + 1])
        overlaps = box_overlaps(found.boxes[matching.rows[places]], truth.boxes[boxes], truth.crowd[boxes])
        labels = matching.labels[places]
        overlaps[labels[:, None] == truth.labels[boxes][None]] = 0.0
        for label, row in zip(labels.tolist(), overlaps, strict=True):
            free = np.where(left[boxes], row, 0.0)
            if free.max(initial=0.0) >= iou:
                taken = boxes[free.argmax()]
                left[taken] = False
                counts[truth.labels[taken], label] += 1
            else:
                counts[classes, label] += 1
    counts[:classes, classes] = np.bincount(truth.labels[left], minlength=classes)
    return Confusion(truth.classes.names, counts)


def _by_picture(pictures: Array, places: Array) -> Iterator[tuple[int, Array]]:
    """(picture, its places, best score first) for the pictures of these places of a matching."""
    order = places[np.argsort(pictures[places], kind="stable")]
    if len(order):
        found, starts = np.unique(pictures[order], return_index=True)
        yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
