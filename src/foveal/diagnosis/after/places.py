"""Places to look at, and what they are found by: one picture's detections and labels, and what overlaps what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.diagnosis.after.analysis import Analysis
from foveal.metrics.matching import NONE, box_overlaps
from foveal.types import Array

APART_IOU, INSIDE = 0.3, 0.6
"""A detection that overlaps every label by less, and of which no label holds that share, stands alone."""


class Suspect(NamedTuple):
    """One place to look at."""

    gallery: str
    picture: int
    """The picture's place in the truth."""
    truth: int
    """Row of the label it is about, or ``NONE``."""
    detection: int
    """Row in the detection columns, or ``NONE``."""
    iou: float
    """... of the two; 0 where one of them is not there."""
    why: str


Ranked = list[tuple[tuple[float, ...], Suspect]]
"""Suspects with their sort keys, the worst lowest."""


class PictureTable(NamedTuple):
    """One picture's detections, best first, and its labels, crowds included."""

    picture: int
    places: Array
    """[D] places in the matching."""
    claims: Array
    """[D] row of the label that the detection finds at IoU 0.5, or ``NONE``."""
    labels: Array
    """[M] rows of the truth."""
    overlaps: Array
    """[D, M] plain IoU."""
    inside: Array
    """[D, M] share of the detection that lies in the label."""

    def free_for(self, column: int) -> Array:
        """[D] bool: detections that find no other label: those of a neighbour say nothing of this one."""
        return np.asarray((self.claims == NONE) | (self.claims == self.labels[column]))


def picture_tables(result: Analysis) -> list[PictureTable]:
    """Every picture's, in the order of the truth."""
    truth, matching = result.truth, result.errors.matching
    order = np.argsort(matching.pictures, kind="stable")
    borders = np.searchsorted(matching.pictures[order], np.arange(len(truth.image_ids) + 1))
    tables = []
    for picture in range(len(truth.image_ids)):
        places = order[borders[picture] : borders[picture + 1]]
        labels = np.arange(truth.offsets[picture], truth.offsets[picture + 1])
        boxes, found = truth.boxes[labels], result.found.boxes[matching.rows[places]]
        plain = box_overlaps(found, boxes, np.zeros(len(labels), dtype=bool))
        inside = box_overlaps(found, boxes, np.ones(len(labels), dtype=bool))
        tables.append(PictureTable(picture, places, matching.found[0][places], labels, plain, inside))
    return tables


def best_for(table: PictureTable, column: int, scores: Array, least: float) -> tuple[int, float]:
    """Place of the detection that speaks most for a label (IoU times score), and its IoU.

    Of those that find no other label and have IoU ``least`` with it; ``NONE`` and 0 where there is none.
    """
    overlaps = np.where(table.free_for(column), table.overlaps[:, column], 0.0)
    if overlaps.max(initial=0.0) < least:
        return NONE, 0.0
    best = int(np.argmax(np.where(overlaps >= least, overlaps * scores[table.places], 0.0)))
    return int(table.places[best]), float(overlaps[best])
