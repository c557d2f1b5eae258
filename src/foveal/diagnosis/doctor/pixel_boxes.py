"""Rule: pixels where shares of the picture are expected, and which four numbers of a box they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foveal.diagnosis.doctor.box_numbers import (
    LEAST_MISFITS,
    LEAST_SHARE,
    Numbers,
    Verdict,
    misfits,
    one_box,
)
from foveal.diagnosis.doctor.part import Part
from foveal.types import Array

SAID = "like pixels"
"""What the readers of shares say of a number over ``OVER``."""
OVER = 2.0
SLIPS = 0.02
"""Share of the boxes that may have no such number, or not fit, where the rest is pixels."""
MEANINGS: dict[str, Callable[[Array], Array]] = {
    "cx cy width height": lambda n: np.concatenate([n[:, :2] - n[:, 2:] / 2, n[:, :2] + n[:, 2:] / 2], 1),
    "x1 y1 x2 y2": lambda n: n,
    "x y width height": lambda n: np.concatenate([n[:, :2], n[:, :2] + n[:, 2:]], 1),
}
"""How to say it, and a row's four numbers [M, 4] -> corners in pixels."""


def pixel_boxes(part: Part) -> Verdict | None:
    """The verdict on a part of which many boxes were refused for such numbers.

    It has a meaning where (nearly) all boxes were, all fit their pictures in one of ``MEANINGS`` and do not
    in any other.
    """
    records, account = part.records, part.records.account
    told = {
        n for n, (kind, _, message) in enumerate(records.faults) if kind == "bad_number" and SAID in message
    }
    count, others = len(told), len(records.labels)
    if count < LEAST_MISFITS or count <= LEAST_SHARE * (count + others):
        return None
    text = f"{count} boxes have numbers far over 1, and {others} have not"
    rows = [] if account is None else [n for n, fault in enumerate(account.faults.tolist()) if fault in told]
    if account is None or len(rows) < count or others > SLIPS * count:
        return Verdict("pixel_boxes", text, None)
    size = np.stack([records.widths, records.heights], axis=1)[account.pictures[rows]]
    numbers = Numbers(account.corners[rows], size, np.zeros_like(size), np.zeros(4))
    written = _written(numbers.corners, size)
    left = {said: float(misfits(meant(written), numbers).mean()) for said, meant in MEANINGS.items()}
    fits = [said for said, share in left.items() if share <= LEAST_SHARE]
    text = f"{text}; in pixels they fit as {' or as '.join(fits) or 'nothing'}"
    if len(fits) != 1 or left[fits[0]] > SLIPS:
        return Verdict("pixel_boxes", text, None)
    return Verdict("pixel_boxes", text, one_box(_where_over(MEANINGS[fits[0]])))


def _where_over(meant: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    """A meaning for boxes that cannot be shares; the others stay as they are."""

    def meaning(corners: Array, size: Array) -> Array:
        written = _written(corners, size)
        return np.where((written > OVER).any(1, keepdims=True), meant(written), corners)

    return meaning


def _written(corners: Array, size: Array) -> Array:
    """The four numbers of a row of YOLO's, [M, 4], from the corners that they were read as.

    size: [M, 2] width and height of the pictures that they were taken for shares of.
    """
    low, high = corners[:, :2], corners[:, 2:]
    written: Array = np.concatenate([(low + high) / 2, high - low], 1) / np.tile(size, 2)
    return written
