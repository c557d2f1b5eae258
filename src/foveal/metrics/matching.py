"""Which detection finds which box: matched once, as COCO does, for everything that is counted afterwards."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from foveal.metrics.columns import DetectionColumns, to_xywh
from foveal.types import Array, GroundTruth

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds whose mean is AP."""
MAX_DETECTIONS = 100
"""Detections per picture and class that COCO looks at, best first."""
NONE = -1
AREAS: dict[str, tuple[float, float]] = {
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}
"""COCO's sizes: least and largest area in the original picture's pixels, both ends within."""


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
    """[T, D] bool: it counts neither way, as all it finds is a box that is none to find (a crowd, or of another
    size than asked for), or as it finds nothing and is of another size itself."""
    positives: Array
    """[P, K] int64: boxes there are to find."""
    thresholds: Array
    """[T] float64."""

    def of_class(self, label: int) -> Array:
        """Places of one class's detections, best first."""
        return np.flatnonzero(self.labels == label)

    def at(self, threshold: int) -> Matching:
        """The same at one of the thresholds, by its place."""
        only = slice(threshold, threshold + 1)
        return self._replace(
            found=self.found[only], ignored=self.ignored[only], thresholds=self.thresholds[only]
        )


def match_detections(
    truth: GroundTruth,
    found: DetectionColumns,
    thresholds: Array | tuple[float, ...] = (0.5,),
    max_detections: int = MAX_DETECTIONS,
    area: tuple[float, float] | None = None,
) -> Matching:
    """Match all detections to the boxes of their class and picture (the rule of pycocotools' ``evaluateImg``).

    Best score first, each detection takes the box that it overlaps most of those not yet taken, where that IoU is
    at least the threshold; else it is ignored where it takes a crowd box so (which many may) or one of another
    size than ``area``, one of ``AREAS``. Every detection's picture must be in the truth, as ``DetectionStore``
    sees to.
    """
    limits = np.minimum(np.asarray(thresholds, dtype=np.float64), 1 - 1e-10)
    parts = [_Part.empty(len(limits))]
    real = ~truth.crowd if area is None else ~truth.crowd & _within(truth.area, area)
    holders = np.repeat(np.arange(len(truth.image_ids)), np.diff(truth.offsets))
    counts = np.zeros((len(truth.image_ids), len(truth.classes.names)), dtype=np.int64)
    np.add.at(counts, (holders[real], truth.labels[real]), 1)
    for picture, rows in detections_by_picture(truth, found):
        rows, ranks = _best(rows, found, max_detections)
        if len(rows):
            boxes = slice(truth.offsets[picture], truth.offsets[picture + 1])
            overlaps = box_overlaps(found.boxes[rows], truth.boxes[boxes], truth.crowd[boxes])
            overlaps[found.labels[rows][:, None] != truth.labels[boxes][None]] = 0.0
            matched = _match_picture(overlaps, real[boxes], truth.crowd[boxes], limits)
            matched[matched != NONE] += boxes.start
            ignored = matched != NONE
            ignored[ignored] = ~real[matched[ignored]]
            matched[ignored] = NONE
            if area is not None:
                other = ~_within(to_xywh(found.boxes[rows])[:, 2:].prod(axis=1), area)
                ignored |= (matched == NONE) & other
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


def _match_picture(overlaps: Array, real: Array, crowd: Array, limits: Array) -> Array:
    """[T, D] column of the box that each of one picture's detections, best first, takes; or ``NONE``.

    overlaps: [D, M]; real, crowd: [M] bool, boxes that are to be found, and those that many may take.
    """
    matched = np.full((len(limits), len(overlaps)), NONE, dtype=np.int64)
    # Any box that is to be found comes before all that are not.
    order = np.argsort(~real, kind="stable")
    rows, places = np.nonzero(overlaps[:, order] >= limits.min())
    columns = order[places]
    pairs = zip(rows.tolist(), columns.tolist(), overlaps[rows, columns].tolist(), strict=True)
    near = [(row, [pair[1:] for pair in group]) for row, group in groupby(pairs, key=itemgetter(0))]
    is_real, is_crowd = real.tolist(), crowd.tolist()
    for t, limit in enumerate(limits.tolist()):
        taken: set[int] = set()
        for row, candidates in near:
            best, most = NONE, limit
            for column, overlap in candidates:
                if best != NONE and is_real[best] and not is_real[column]:
                    break
                # Of equal overlaps pycocotools takes the last.
                if overlap >= most and column not in taken:
                    best, most = column, overlap
            if best != NONE:
                matched[t, row] = best
                if not is_crowd[best]:
                    taken.add(best)
    return matched


def _within(areas: Array, area: tuple[float, float]) -> Array:
    return np.asarray((areas >= area[0]) & (areas <= area[1]))
