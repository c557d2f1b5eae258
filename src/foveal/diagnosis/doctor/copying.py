"""The mended data as files: pictures copied, labels as COCO JSON, and the log of what was changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from foveal.data.coco_writer import write_coco
from foveal.diagnosis.doctor.mending import Change, Mended
from foveal.diagnosis.doctor.tables import write_rows
from foveal.errors import UsageError

LOG = "fixes.csv"


def is_taken(folder: Path) -> bool:
    """Whether something is there already: nothing that a person has is written over."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def write_copy(
    folder: Path, parts: Sequence[Mended], changes: Sequence[Change], tick: Callable[[], object]
) -> None:
    """``images/PART/...``, ``annotations/instances_PART.json`` and ``fixes.csv`` in a new folder.

    The layout is COCO's own, so that ``foveal init`` and other programs find it. tick: called after each picture.
    UsageError where something is in the folder already.
    """
    if is_taken(folder):
        raise UsageError(f"--fix {folder}: exists already; name a new folder")
    for part in parts:
        images = folder / "images" / part.name
        for picture, name in enumerate(part.names):
            target = images / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part.records.path(picture), target)
            tick()
        records = replace(part.records, root=images, files=np.array(part.names, dtype=np.str_))
        write_coco(records, folder / "annotations" / f"instances_{part.name}.json")
    write_rows(folder / LOG, Change._fields, changes)
