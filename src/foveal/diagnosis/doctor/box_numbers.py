"""The numbers of a part's boxes as the file has them, and what they may be found to mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from foveal.data.account import Meaning
from foveal.diagnosis.doctor.part import Part
from foveal.types import Array

LEAST_MISFITS, LEAST_SHARE = 3, 0.04
"""As few misfits as this, or as small a share, are slips, not a system."""
SLACK = 0.01
"""Share of the picture's side, at least 1 px, by which a box may leave it and still fit."""


class Numbers(NamedTuple):
    """The boxes of a part as the file has them, those that were dropped too."""

    corners: Array
    """[M, 4] before the reader's shift."""
    size: Array
    """[M, 2] width and height of their pictures."""
    stated: Array
    """[M, 2] width and height that the labels state; 0 where they do not."""
    shift: Array
    """[4]"""


class Verdict(NamedTuple):
    """What the numbers of a part mean, if not what they are read as."""

    rule: str
    message: str
    meaning: Meaning | None
    """How to read them; None where the numbers do not say so exactly."""


def numbers_of(part: Part) -> Numbers:
    """The account's numbers, those of kept boxes among them."""
    records, account = part.records, part.records.account
    size = np.stack([records.widths, records.heights], axis=1)
    if account is None:
        return Numbers(records.boxes, part.box_picture_size, np.zeros((len(records.boxes), 2)), np.zeros(4))
    shift = np.array(account.shift)
    corners = records.boxes - shift
    kept = account.rows >= 0
    corners[account.rows[kept]] = account.corners[kept]
    dropped = ~kept & np.isfinite(account.corners).all(1)
    pictures = np.concatenate([part.picture_of, account.pictures[dropped]])
    stated = account.stated[:, ::-1]
    return Numbers(
        np.concatenate([corners, account.corners[dropped]]), size[pictures], stated[pictures], shift
    )


def misfits(corners: Array, numbers: Numbers) -> Array:
    """[M] bool: whether corners make no box, or one that leaves its picture."""
    slack = np.maximum(1.0, SLACK * numbers.size)
    shifted = corners + numbers.shift
    no_box = (corners[:, 2:] <= corners[:, :2]).any(1)
    leaves = np.logical_or(shifted[:, :2] < -slack, shifted[:, 2:] > numbers.size + slack).any(1)
    return np.logical_or(no_box, leaves)


def one_box(meant: Callable[[Array, Array], Array]) -> Meaning:
    """A meaning of columns as one of a single box."""

    def meaning(
        corners: Sequence[float], size: tuple[int, int], _: tuple[int, int] | None
    ) -> Sequence[float]:
        box = meant(np.array([corners], dtype=np.float64), np.array([[size[1], size[0]]], dtype=np.float64))
        return [float(value) for value in box[0]]

    return meaning
