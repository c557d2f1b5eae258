"""What the model got wrong: the worst misses, and the most confident mistakes of each kind."""

from __future__ import annotations

import numpy as np

from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.after.places import APART_IOU, PictureTable, Ranked, Suspect, best_for
from foveal.metrics.errors import CORRECT, ERROR_KINDS, IGNORED, IOU
from foveal.metrics.matching import NONE


def misses(result: Analysis, tables: list[PictureTable]) -> Ranked:
    """Labels that no detection over the thresholds finds; those reached least come first, then the largest."""
    truth, matching = result.truth, result.errors.matching
    hits = matching.found[0][result.kept]
    lost = ~truth.crowd
    lost[hits[hits != NONE]] = False
    areas = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    rows: Ranked = []
    for table in tables:
        for column in np.flatnonzero(lost[table.labels]):
            label = int(table.labels[column])
            place, iou = best_for(table, int(column), matching.scores, APART_IOU)
            reach = iou * matching.scores[place] if place != NONE else 0.0
            why = _why_missed(result, table, int(column), place, iou)
            detection = NONE if place == NONE else int(matching.rows[place])
            suspect = Suspect("misses", table.picture, label, detection, iou, why)
            rows.append(((round(float(reach), 1), -float(areas[label])), suspect))
    return rows


def _why_missed(result: Analysis, table: PictureTable, column: int, place: int, iou: float) -> str:
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


def mistakes(result: Analysis, limit: int) -> list[Suspect]:
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
