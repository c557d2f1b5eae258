"""Which detection finds which box: matched once, as COCO does, for everything that is counted afterwards."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.metrics.columns import DetectionColumns, to_xywh
from foveal.types import Array, GroundTruth

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds whose mean is AP."""
MAX_DETECTIONS = 100
"""Detections per picture and class that COCO looks at, best first."""
NONE = -1


class Matching(NamedTuple):
    """Detections, best first, and the box that each finds at each IoU threshold.

    Equal scores are in the order of the picture ids, and within a picture in the order in which they came, as in
    pycocotools. D detections, T thresholds, P pictures, K classes.
    """

    rows: Array
    """[D] int64: the detection's row in the columns."""
    pictures: Array
    """[D] int64: its picture's place in the ground truth."""
    labels: Array
    """[D] int64."""
    scores: Array
    """[D] float64, descending."""
    ranks: Array
    """[D] int64: detections of its picture and class that are better."""
    found: Array
    """[T, D] int64: row of the box that it finds, or ``NONE``."""
    ignored: Array
    """[T, D] bool: it finds no box and lies on a crowd of its class, so that it counts neither way."""
    positives: Array
    """[P, K] int64: boxes there are to find."""
    thresholds: Array
    """[T] float64."""

    def of_class(self, label: int) -> Array:
        """Places of one class's detections, best first."""
        return np.flatnonzero(self.labels == label)


def match_detections(
    truth: GroundTruth,
    found: DetectionColumns,
    thresholds: Array | tuple[float, ...] = (0.5,),
    max_detections: int = MAX_DETECTIONS,
) -> Matching:
    """Match all detections to the boxes of their class and picture (the rule of pycocotools' ``evaluateImg``).

    Best score first, each detection takes the box that it overlaps most of those not yet taken, where that IoU is
    at least the threshold; else it is ignored where so much of it lies on a crowd box. Every detection's picture
    must be in the truth, as ``DetectionStore`` sees to.
    """
    limits = np.minimum(np.asarray(thresholds, dtype=np.float64), 1 - 1e-10)
    parts = [_Part.empty(len(limits))]
    counts = np.zeros((len(truth.image_ids), len(truth.classes.names)), dtype=np.int64)
    for picture, rows in detections_by_picture(truth, found):
        boxes = np.arange(truth.offsets[picture], truth.offsets[picture + 1])
        np.add.at(counts[picture], truth.labels[boxes][~truth.crowd[boxes]], 1)
        rows, ranks = _best(rows, found, max_detections)
        if len(rows):
            matched, ignored = _match_picture(truth, found, boxes, rows, limits)
            parts.append(_Part(rows, np.full(len(rows), picture), ranks, matched, ignored))
    rows, pictures, ranks = (np.concatenate([part[i] for part in parts]) for i in range(3))
    matched, ignored = (np.concatenate([part[i] for part in parts], axis=1) for i in (3, 4))
    order = np.argsort(-found.scores[rows], kind="stable")
    rows = rows[order]
    return Matching(
        rows,
        pictures[order],
        found.labels[rows],
        found.scores[rows],
        ranks[order],
        matched[:, order],
        ignored[:, order],
        counts,
        np.asarray(thresholds, dtype=np.float64),
    )


def detections_by_picture(truth: GroundTruth, found: DetectionColumns) -> list[tuple[int, Array]]:
    """(place of the picture, rows of its detections) for all pictures, in the order of their ids."""
    order = np.argsort(found.image_ids, kind="stable")
    places = np.argsort(truth.image_ids, kind="stable")
    ids = truth.image_ids[places]
    starts = np.searchsorted(found.image_ids[order], ids, side="left")
    ends = np.searchsorted(found.image_ids[order], ids, side="right")
    return [(int(place), order[start:end]) for place, start, end in zip(places, starts, ends, strict=True)]


def box_overlaps(detections: Array, boxes: Array, crowd: Array) -> Array:
    """[D, M] IoU of xyxy boxes; with a crowd box, the share of the detection that lies in it (COCO's rule).

    0 for boxes without an area. The arithmetic is that of pycocotools, on x, y, width, height in float64.
    """
    first, second = to_xywh(detections), to_xywh(boxes)
    far = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    sides = far - np.maximum(first[:, None, :2], second[None, :, :2])
    shared = np.where((sides > 0).all(axis=2), sides[..., 0] * sides[..., 1], 0.0)
    own = (first[:, 2] * first[:, 3])[:, None]
    union = np.where(np.asarray(crowd, dtype=bool)[None], own, own + (second[:, 2] * second[:, 3]) - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


class _Part(NamedTuple):
    """One picture's share of a ``Matching``."""

    rows: Array
    pictures: Array
    ranks: Array
    found: Array
    ignored: Array

    @classmethod
    def empty(cls, thresholds: int) -> _Part:
        none = np.zeros(0, dtype=np.int64)
        table = np.zeros((thresholds, 0), dtype=np.int64)
        return cls(none, none, none, table, table.astype(bool))


def _best(rows: Array, found: DetectionColumns, limit: int) -> tuple[Array, Array]:
    """Of one picture's detections the best ``limit`` of each class, best first, and their rank in the class."""
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    labels = found.labels[rows]
    by_class = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[by_class] = np.arange(len(rows)) - np.repeat(starts, sizes)
    return rows[ranks < limit], ranks[ranks < limit]


def _match_picture(
    truth: GroundTruth, found: DetectionColumns, boxes: Array, rows: Array, limits: Array
) -> tuple[Array, Array]:
    """``found`` and ``ignored`` of one picture's detections, best first: [T, D] each."""
    crowd = truth.crowd[boxes]
    overlaps = box_overlaps(found.boxes[rows], truth.boxes[boxes], crowd)
    overlaps[found.labels[rows][:, None] != truth.labels[boxes][None]] = 0.0
    plain, real = overlaps[:, ~crowd], boxes[~crowd]
    matched = np.full((len(limits), len(rows)), NONE, dtype=np.int64)
    free = np.ones((len(limits), len(real)), dtype=bool)
    if len(real):
        for row in np.flatnonzero((plain >= limits.min()).any(axis=1)):
            reach = np.where(free, plain[row], -1.0)
            # Of equal overlaps pycocotools takes the last.
            best = len(real) - 1 - reach[:, ::-1].argmax(axis=1)
            hit = np.flatnonzero(reach[np.arange(len(limits)), best] >= limits)
            matched[hit, row] = real[best[hit]]
            free[hit, best[hit]] = False
    on_crowd = overlaps[:, crowd].max(axis=1, initial=0.0)
    return matched, (matched == NONE) & (on_crowd[None] >= limits[:, None])
