"""The pictures that an export is compared with torch on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foveal.checkpoint.header import CheckpointHeader
from foveal.data.layout import Part
from foveal.data.records import Records
from foveal.data.shapes import make_shapes
from foveal.errors import DataError, UsageError
from foveal.export.formats import Form
from foveal.grammar import many
from foveal.runtime.pictures import Picture
from foveal.runtime.sources import find_pictures
from foveal.runtime.validation_set import validation_set

GENERATED = 16
"""Pictures that are drawn where there are no others."""


class Subjects(NamedTuple):
    """What the gate looks at."""

    labelled: Records | None
    """None where there is nothing to measure AP on."""
    pictures: Sequence[Picture] | Records
    most: int
    """Pictures compared detection by detection."""
    note: str
    """What a person should know of them; mostly empty."""


def subjects(
    header: CheckpointHeader,
    checkpoint: Path,
    data: Path | None,
    part: Part | None,
    pictures: str | Path | int,
) -> Subjects:
    """Labelled pictures as ``validation_set`` finds them, and those to compare; ``note`` says what is missing.

    pictures: a number of them, or a folder of others.
    """
    labelled, missing = None, ""
    try:
        known = validation_set(header, checkpoint, data, part)
    except (UsageError, DataError) as error:
        if data is not None or part is not None:
            raise
        known, missing = None, f"AP is not measured: {error}"
    if known is not None:
        if known.crowd.all():  # or there is none
            missing = "AP is not measured: the labelled pictures have no box to find"
        else:
            labelled = known
    text = str(pictures)
    if not text.isdecimal():
        found = find_pictures([text])
        return Subjects(labelled, found, len(found), missing)
    most = int(text)
    if not most:
        raise UsageError("--pictures 0: at least one picture is compared; --no-gate compares none")
    if known is not None:
        return Subjects(labelled, known, most, missing)
    drawn = make_shapes(min(most, GENERATED), 4, 320)
    note = f"{missing}; compared on {many(len(drawn), 'generated picture')}, or on those of --pictures FOLDER"
    return Subjects(None, drawn, most, note)


def check_subjects(form: Form, seen: Subjects) -> None:
    """UsageError where an export that cannot give the same detections has nothing to measure its AP on."""
    if form.precision != "fp32" and seen.labelled is None:
        raise UsageError(
            f"{form.precision} passes by its AP, and no labelled picture is there to measure it on: "
            "give --data, or --no-gate"
        )
