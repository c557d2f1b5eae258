"""Which boxes and detections a person should look at: the worst misses and mistakes, and likely wrong labels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from foveal.diagnosis.after.analysis import Analysis
from foveal.metrics.errors import CORRECT, ERROR_KINDS, IGNORED, IOU
from foveal.metrics.matching import NONE, box_overlaps
from foveal.types import Array

LIMIT = 20
"""Rows of a gallery."""
APART_IOU, INSIDE = 0.3, 0.6
"""A detection that overlaps every label by less, and of which no label holds that share, stands alone."""
SAME_IOU = 0.6
"""IoU with a label of another class from which the label's class is in doubt."""
SUPPORT_IOU, NO_SUPPORT = 0.3, 0.1
"""A label that no detection with this IoU and a score over this one speaks for is in doubt,"""
ALONE_IOU, TYPICAL = 0.1, (0.05, 0.95)
"""... where it overlaps no other by more, is of a usual size (these shares of its class), and is not cut."""
NEAR_IOU = 0.1
"""A detection with less IoU has nothing to do with a label."""


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


class _Tables(NamedTuple):
    """One picture: detections (places in the matching, best first), labels, and their IoU."""

    picture: int
    places: Array
    labels: Array
    """Rows of the truth, crowds included."""
    overlaps: Array
    """[D, M] plain IoU."""
    inside: Array
    """[D, M] share of the detection that lies in the label."""


Ranked = list[tuple[tuple[float, ...], Suspect]]
"""Suspects with their sort keys, the worst lowest."""
Finder = Callable[[Analysis, list[_Tables]], Ranked]


def suspects(result: Analysis, limit: int = LIMIT) -> dict[str, list[Suspect]]:
    """For every gallery its rows, worst first; a gallery may be empty."""
    tables = _tables(result)
    found = {}
    for name, finder in _FINDERS.items():
        ranked = sorted(finder(result, tables), key=lambda pair: pair[0])
        found[name] = [suspect for _, suspect in ranked[:limit]]
    found["mistakes"] = _mistakes(result, limit)
    return {name: found[name] for name in TITLES}


TITLES = {
    "misses": "Worst misses: labels that nothing over the threshold finds",
    "mistakes": "Most confident mistakes, by kind",
    "missing_label": "Missing labels? Confident detections on nothing",
    "wrong_class": "Wrong class? Confident detections of another class on a label",
    "box_off": "Box off? Confident detections of the class beside a label",
    "unsupported": "No object? Labels that no detection speaks for",
}


def _misses(result: Analysis, tables: list[_Tables]) -> Ranked:
    """Labels that no detection over the thresholds finds; those reached least come first, then the largest."""
    truth, matching = result.truth, result.errors.matching
    hits = matching.found[0][result.kept]
    lost = ~truth.crowd.copy()
    lost[hits[hits != NONE]] = False
    areas = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    rows: Ranked = []
    claims = matching.found[0]
    for table in tables:
        for column in np.flatnonzero(lost[table.labels]):
            label = int(table.labels[column])
            own = claims[table.places]
            place, iou = _best(table, int(column), matching.scores, (own == NONE) | (own == label))
            reach = iou * matching.scores[place] if place != NONE else 0.0
            why = _why_missed(result, table, int(column), place, iou)
            detection = NONE if place == NONE else int(matching.rows[place])
            suspect = Suspect("misses", table.picture, label, detection, iou, why)
            rows.append(((round(float(reach), 1), -float(areas[label])), suspect))
    return rows


def _why_missed(result: Analysis, table: _Tables, column: int, place: int, iou: float) -> str:
    matching, truth = result.errors.matching, result.truth
    if place == NONE:
        claimed = float(table.overlaps[:, column].max(initial=0.0))
        return "no detection near it" if claimed < APART_IOU else "only its neighbour's detection reaches it"
    name, score = truth.classes.names[matching.labels[place]], matching.scores[place]
    if matching.labels[place] != truth.labels[table.labels[column]]:
        return f"only {name} {score:.2f} there, IoU {iou:.2f}"
    if iou < IOU:
        return f"badly placed: score {score:.2f}, IoU {iou:.2f}"
    return f"found, but score {score:.2f} is too low"


def _mistakes(result: Analysis, limit: int) -> list[Suspect]:
    """The most confident wrong detections over the thresholds, the same number of each kind where there are."""
    split = result.errors
    wrong = np.flatnonzero(result.kept & ~np.isin(split.kinds, (CORRECT, IGNORED)))
    by_kind = [wrong[split.kinds[wrong] == kind] for kind in ERROR_KINDS]
    turns = sorted(
        (turn, k, int(place)) for k, places in enumerate(by_kind) for turn, place in enumerate(places)
    )
    taken = sorted(turns[:limit], key=lambda row: (row[1], row[0]))
    rows = []
    for _, kind, place in taken:
        near = int(split.boxes[place]) if split.overlaps[place] > 0 else NONE
        why = f"{ERROR_KINDS[kind]}" + (f", IoU {split.overlaps[place]:.2f}" if near != NONE else "")
        detection, picture = int(split.matching.rows[place]), int(split.matching.pictures[place])
        rows.append(Suspect("mistakes", picture, near, detection, float(split.overlaps[place]), why))
    return rows


def _missing_labels(result: Analysis, tables: list[_Tables]) -> Ranked:
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


def _wrong_classes(result: Analysis, tables: list[_Tables]) -> Ranked:
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


def _boxes_off(result: Analysis, tables: list[_Tables]) -> Ranked:
    """Labels that are not found, with a confident detection of their class that overlaps them too little."""
    split = result.errors
    matching = split.matching
    hits = matching.found[0][result.kept]
    rows: Ranked = []
    seen = set(hits[hits != NONE].tolist())
    for place in np.flatnonzero(result.kept & (split.kinds == "location")).tolist():
        label = int(split.boxes[place])
        if label in seen:
            continue
        seen.add(label)
        iou = float(split.overlaps[place])
        suspect = Suspect(
            "box_off", int(matching.pictures[place]), label, int(matching.rows[place]), iou, f"IoU {iou:.2f}"
        )
        rows.append(((-float(matching.scores[place]),), suspect))
    return rows


def _unsupported(result: Analysis, tables: list[_Tables]) -> Ranked:
    """Labels of usual size, alone and whole, with hardly a score on them: what is easy to find is not found."""
    matching, easy = result.errors.matching, _easy(result)
    rows: Ranked = []
    for table in tables:
        scores = np.where(table.overlaps >= SUPPORT_IOU, matching.scores[table.places][:, None], 0.0)
        support = scores.max(axis=0, initial=0.0)
        for column in np.flatnonzero((support < NO_SUPPORT) & easy[table.labels]):
            place, iou = _best(table, int(column), matching.scores, np.ones(len(table.places), dtype=bool))
            detection = NONE if place == NONE else int(matching.rows[place])
            why = f"best score on it: {support[column]:.2f}" if support[column] else "no detection on it"
            suspect = Suspect("unsupported", table.picture, int(table.labels[column]), detection, iou, why)
            rows.append(((float(support[column]), -iou), suspect))
    return rows


def _easy(result: Analysis) -> Array:
    """[N] bool: labels of a usual size for their class, off the picture's edge and off other labels."""
    truth = result.truth
    areas = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    easy = ~truth.crowd.copy()
    for label in np.unique(truth.labels):
        mine = truth.labels == label
        low, high = np.quantile(areas[mine], TYPICAL)
        easy[mine] &= (areas[mine] >= low) & (areas[mine] <= high)
    for picture, (start, end) in enumerate(pairwise(truth.offsets.tolist())):
        boxes = truth.boxes[start:end]
        others = box_overlaps(boxes, boxes, np.zeros(len(boxes), dtype=bool))
        np.fill_diagonal(others, 0.0)
        limits = np.array([truth.widths[picture], truth.heights[picture]]) - 1
        whole = (boxes[:, :2] >= 1).all(axis=1) & (boxes[:, 2:] <= limits).all(axis=1)
        easy[start:end] &= whole & (others.max(axis=1, initial=0.0) <= ALONE_IOU)
    return easy


_FINDERS: dict[str, Finder] = {
    "misses": _misses,
    "missing_label": _missing_labels,
    "wrong_class": _wrong_classes,
    "box_off": _boxes_off,
    "unsupported": _unsupported,
}


def _best(table: _Tables, column: int, scores: Array, able: Array) -> tuple[int, float]:
    """Place of the detection that speaks most for a label (IoU times score), and its IoU.

    able: [D] bool, which of the picture's detections may. ``NONE`` and 0 where none has ``NEAR_IOU``.
    """
    overlaps = np.where(able, table.overlaps[:, column], 0.0)
    if overlaps.max(initial=0.0) < NEAR_IOU:
        return NONE, 0.0
    best = int(np.argmax(np.where(overlaps >= NEAR_IOU, overlaps * scores[table.places], 0.0)))
    return int(table.places[best]), float(overlaps[best])


def _tables(result: Analysis) -> list[_Tables]:
    """All pictures, each with what overlaps what."""
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
        tables.append(_Tables(picture, places, labels, plain, inside))
    return tables
