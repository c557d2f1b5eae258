"""Rules: numbers that start at 1 where the format starts at 0, or the reverse; sizes stated transposed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.box_numbers import Verdict, numbers_of
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many
from foveal.types import Array

LEAST = 5
"""Boxes at an edge from which its number can be told."""


def conventions(part: Part, verdict: Verdict | None) -> Iterator[Hit]:
    """Off by one, by the numbers that boxes at the edges have; only of whole numbers that mean what is read."""
    yield from _transposed(part)
    numbers = numbers_of(part)
    corners, size = numbers.corners, numbers.size
    if len(corners) < LEAST or (corners != np.round(corners)).any() or verdict is not None:
        return
    low = _counts(corners[:, :2], (-1, 0, 1))
    high = _counts(corners[:, 2:] - size, (-1, 0, 1))
    if not numbers.shift.any():
        # 1-based and inclusive: 1 at the left edge, the width itself (or one more, as x + width) at the right.
        if low[0] == 0 and low[-1] == 0 and low[1] >= LEAST and high[0] + high[1] >= LEAST:
            text = f"low sides: none at 0 and {low[1]} at 1; high sides: {high[0] + high[1]} at the far edge"
            yield Hit(finding("off_by_one", part.name, text), part.name)
        return
    if low[1] >= LEAST and low[0] == 0:
        text = f"{low[1]} numbers are 1 and none is 0: read as 1-based, as the settings say"
        yield Hit(finding("one_based", part.name, text), part.name)
    elif low[0] >= LEAST and high[0] < 0.1 * high[-1]:
        text = f"{low[0]} numbers are 0; {high[-1]} are 1 px before the far edge, and {high[0]} at it"
        yield Hit(finding("zero_based", part.name, text), part.name)


def _counts(values: Array, wanted: tuple[int, ...]) -> dict[int, int]:
    return {value: int((values == value).sum()) for value in wanted}


def _transposed(part: Part) -> Iterator[Hit]:
    account = part.records.account
    if account is None:
        return
    size = np.stack([part.records.heights, part.records.widths], axis=1)
    turned = (account.stated == size[:, ::-1]).all(1) & (size[:, 0] != size[:, 1])
    turned_by_exif = {f.where for f in part.records.faults if f.kind == "rotated_labels"}
    count = int(turned.sum()) - len(turned_by_exif)
    if count > 0:
        first = part.picture(int(np.flatnonzero(turned)[0]))
        text = f"height and width are swapped in the labels of {many(count, 'picture')}; first: {first}"
        yield Hit(finding("stated_transposed", part.name, text), part.name)
