"""Rule: everything that a reader noticed, each fault at its place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import RULES, finding
from foveal.diagnosis.finding import Finding


def read_faults(part: Part) -> Iterator[Hit]:
    """One hit per fault of the records, under the fault's own name."""
    if part.unusable:
        yield Hit(finding("unusable", part.name, part.unusable), part.name)
    spots = _spots(part)
    for number, (kind, where, message) in enumerate(part.records.faults):
        if kind in RULES:
            yield Hit(finding(kind, where, message), part.name, spots.get(number))
        else:
            yield Hit(Finding(kind, "warning", where, message), part.name, spots.get(number))


def _spots(part: Part) -> dict[int, Spot]:
    """Fault -> the box it tells of, for those of boxes."""
    account = part.records.account
    if account is None:
        return {}
    shift = np.array(account.shift)
    return {
        fault: Spot(part.name, picture, tuple(corners))
        for fault, picture, corners in zip(
            account.faults.tolist(),
            account.pictures.tolist(),
            (account.corners + shift).tolist(),
            strict=True,
        )
    }
