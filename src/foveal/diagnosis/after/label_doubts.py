"""Where the label may be wrong: missing, of another class, beside its object, or on no object.

Each is a disagreement between labels and a model that has seen many of them; none is a proof.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.after.places import APART_IOU, INSIDE, PictureTable, Ranked, Suspect
from foveal.metrics.matching import NONE, box_overlaps
from foveal.types import Array

SAME_IOU = 0.6
"""IoU with a label of another class from which the label's class is in doubt."""
OFF_IOU = (0.2, 0.6)
"""IoU with a confident detection of the class: of less the two are of different objects, of more they agree."""
SUPPORT_IOU, NO_SUPPORT = 0.3, 0.1
"""A label that no detection with this IoU and a score over this one speaks for is in doubt,"""
ALONE_IOU, TYPICAL, EDGE = 0.3, (0.05, 0.95), 2
"""... where it overlaps no other by more, is of a usual size (these shares of its class), and is not cut: so many
pixels off the picture's edge (one more than what a file that counts from 1 is off by)."""


def missing_labels(result: Analysis, tables: list[PictureTable]) -> Ranked:
    """Detections over the thresholds that lie apart from all labels."""
    matching = result.errors.matching
    rows: Ranked = []
    for table in tables:
        apart = table.overlaps.max(axis=1, initial=0.0) < APART_IOU
        apart &= table.inside.max(axis=1, initial=0.0) < INSIDE
        for row in np.flatnonzero(apart & result.kept[table.places]):
            place = int(table.places[row])
            iou = float(table.overlaps[row].max(initial=0.0))
            why = "no label touches it" if iou == 0 else f"nearest label: IoU {iou:.2f}"
            suspect = Suspect("missing_label", table.picture, NONE, int(matching.rows[place]), 0.0, why)
            rows.append(((-float(matching.scores[place]),), suspect))
    return rows


def wrong_classes(result: Analysis, tables: list[PictureTable]) -> Ranked:
    """Detections of another class on a label, that score more than any of the label's own class there."""
    truth, matching = result.truth, result.errors.matching
    names = truth.classes.names
    rows: Ranked = []
    for table in tables:
        scores, classes = matching.scores[table.places], matching.labels[table.places]
        for column, label in enumerate(table.labels.tolist()):
            near = table.overlaps[:, column] >= SAME_IOU
            own = near & (classes == truth.labels[label])
            other = near & (classes != truth.labels[label]) & result.kept[table.places]
            if truth.crowd[label] or not other.any():
                continue
            best = int(np.flatnonzero(other)[0])
            if scores[own].max(initial=0.0) >= scores[best]:
                continue
            place, iou = int(table.places[best]), float(table.overlaps[best, column])
            why = f"labelled {names[truth.labels[label]]}, seen as {names[classes[best]]}"
            suspect = Suspect("wrong_class", table.picture, label, int(matching.rows[place]), iou, why)
            rows.append(((-float(scores[best]),), suspect))
    return rows


def boxes_off(result: Analysis, tables: list[PictureTable]) -> Ranked:
    """Labels that the nearest confident detection of their class overlaps too little, and no other label more.

    First come those of the most score times distance (1 - IoU).
    """
    truth, matching = result.truth, result.errors.matching
    rows: Ranked = []
    for table in tables:
        kept = result.kept[table.places]
        if not kept.any() or not len(table.labels):
            continue
        nearest, classes = table.overlaps.argmax(axis=1), matching.labels[table.places]
        for column in np.flatnonzero(~truth.crowd[table.labels]).tolist():
            label = int(table.labels[column])
            own = kept & (classes == truth.labels[label]) & (nearest == column) & table.free_for(column)
            overlaps = np.where(own, table.overlaps[:, column], 0.0)
            best = int(overlaps.argmax())
            iou = float(overlaps[best])
            if OFF_IOU[0] <= iou < OFF_IOU[1]:
                place = int(table.places[best])
                detection = int(matching.rows[place])
                suspect = Suspect("box_off", table.picture, label, detection, iou, f"IoU {iou:.2f}")
                rows.append(((-float(matching.scores[place]) * (1 - iou),), suspect))
    return rows


def unsupported(result: Analysis, tables: list[PictureTable]) -> Ranked:
    """Labels of usual size, apart and whole, with hardly a score on them: what is easy to find is not found."""
    matching, easy = result.errors.matching, _easy(result)
    rows: Ranked = []
    for table in tables:
        for column in np.flatnonzero(easy[table.labels]).tolist():
            speaks = table.free_for(column) & (table.overlaps[:, column] >= SUPPORT_IOU)
            support = float(matching.scores[table.places[speaks]].max(initial=0.0))
            if support >= NO_SUPPORT:
                continue
            near = float(table.overlaps[:, column].max(initial=0.0))
            why = f"best score on it: {support:.2f}" if support else "no detection on it"
            label = int(table.labels[column])
            suspect = Suspect("unsupported", table.picture, label, NONE, 0.0, why)
            rows.append(((round(support, 1), near), suspect))
    return rows


def _easy(result: Analysis) -> Array:
    """[N] bool: labels of a usual size for their class, off the picture's edge and off other labels."""
    truth = result.truth
    areas = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    easy = ~truth.crowd
    for label in np.unique(truth.labels):
        mine = truth.labels == label
        low, high = np.quantile(areas[mine], TYPICAL)
        easy[mine] &= (areas[mine] >= low) & (areas[mine] <= high)
    for picture, (start, end) in enumerate(pairwise(truth.offsets.tolist())):
        boxes = truth.boxes[start:end]
        others = box_overlaps(boxes, boxes, np.zeros(len(boxes), dtype=bool))
        np.fill_diagonal(others, 0.0)
        limits = np.array([truth.widths[picture], truth.heights[picture]]) - EDGE
        whole = (boxes[:, :2] >= EDGE).all(axis=1) & (boxes[:, 2:] <= limits).all(axis=1)
        easy[start:end] &= whole & (others.max(axis=1, initial=0.0) <= ALONE_IOU)
    return easy
