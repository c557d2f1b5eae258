"""Which boxes and detections a person should look at, gallery by gallery."""

from __future__ import annotations

from collections.abc import Callable

from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.after.label_doubts import boxes_off, missing_labels, unsupported, wrong_classes
from foveal.diagnosis.after.misses import misses, mistakes
from foveal.diagnosis.after.places import PictureTable, Ranked, Suspect, picture_tables

LIMIT = 20
"""Rows of a gallery."""
TITLES = {
    "misses": "Worst misses: labels that nothing over the threshold finds",
    "mistakes": "Most confident mistakes, by kind",
    "missing_label": "Missing labels? Confident detections on nothing",
    "wrong_class": "Wrong class? Confident detections of another class on a label",
    "box_off": "Box off? Confident detections of the class beside a label",
    "unsupported": "No object? Labels that no detection speaks for",
}
_FINDERS: dict[str, Callable[[Analysis, list[PictureTable]], Ranked]] = {
    "misses": misses,
    "missing_label": missing_labels,
    "wrong_class": wrong_classes,
    "box_off": boxes_off,
    "unsupported": unsupported,
}


def suspects(result: Analysis, limit: int = LIMIT) -> dict[str, list[Suspect]]:
    """For every gallery its rows, worst first; a gallery may be empty."""
    tables = picture_tables(result)
    found = {"mistakes": mistakes(result, limit)}
    for name, finder in _FINDERS.items():
        ranked = sorted(finder(result, tables), key=lambda pair: pair[0])
        found[name] = [suspect for _, suspect in ranked[:limit]]
    return {name: found[name] for name in TITLES}
