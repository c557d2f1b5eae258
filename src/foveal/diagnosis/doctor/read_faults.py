"""Rule: everything that a reader noticed, each fault at its place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import finding


def read_faults(part: Part) -> Iterator[Hit]:
    """One hit per fault of the records, under the fault's own name."""
    if part.unusable:
        stops = "foveal evaluate on it" if part.name == "test" else "training"
        text = f"{part.unusable}: {stops} stops here, with exit code 3"
        yield Hit(finding("unusable", part.name, text), part.name)
    spots = _spots(part)
    for number, (kind, where, message) in enumerate(part.records.faults):
        yield Hit(finding(kind, where, message), part.name, spots.get(number))


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
