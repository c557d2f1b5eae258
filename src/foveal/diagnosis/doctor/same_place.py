"""Rule: most boxes of a class at one and the same place, as a tool's template leaves them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.part import Hit, Part, box_spot
from foveal.diagnosis.doctor.rulebook import finding

LEAST_BOXES, LEAST_SHARE = 10, 0.5
GRID = 200
"""Places are told apart to 1 / 200 of the picture's side."""


def same_place(part: Part) -> Iterator[Hit]:
    """One finding a class."""
    records = part.records
    real = np.flatnonzero(~records.crowd)
    if not len(real):
        return
    cells = np.round(records.boxes[real] / np.tile(part.box_picture_size[real], 2) * GRID).astype(np.int64)
    keys = records.labels[real]
    for column in cells.T:  # one number a place, as rows of five sort far more slowly
        keys = keys * (GRID + 1) + np.clip(column, 0, GRID)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    boxes = np.bincount(records.labels[real])[records.labels[real[first]]]
    for group in np.flatnonzero((counts >= LEAST_SHARE * boxes) & (boxes >= LEAST_BOXES)).tolist():
        row = int(real[first[group]])
        box = ", ".join(f"{value:.4g}" for value in records.boxes[row])
        text = f"{counts[group]} of {boxes[group]} boxes of {part.class_name(row)!r} are [{box}]"
        yield Hit(finding("same_place", part.place(row), text), part.name, box_spot(part, row))
