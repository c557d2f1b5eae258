"""One set of labels -> two, by file name: the same pictures on every machine and in every order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from foveal.config.schema import CocoSource, FileSource, VocSource, YoloSource
from foveal.data.coco_json import whole
from foveal.data.lists import lines_of
from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.errors import DataError
from foveal.types import Array

VAL_SHARE = 0.2


class SplitFile(NamedTuple):
    """A file to be written, and the source that reads it."""

    path: Path
    text: str
    source: FileSource
    records: Records
    """The part's pictures, as they will be read from it."""


def held_out(name: str, share: float = VAL_SHARE) -> bool:
    """Whether a picture belongs to the validation part: decided by a hash of its file name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split_source(source: FileSource, records: Records, stem: Path) -> tuple[SplitFile, SplitFile] | None:
    """Train and validation part of one source, to be written as ``{stem}.train.*`` and ``{stem}.val.*``.

    None where one part would have no picture. Nothing is written here.
    """
    held = np.array([held_out(PurePosixPath(str(name)).name) for name in records.files], dtype=bool)
    if held.all() or not held.any():
        return None
    train, val = take(records, ~held), take(records, held)
    if not isinstance(source, CocoSource):
        return _list(source, train, stem, "train"), _list(source, val, stem, "val")
    content = json.loads(Path(source.annotations).read_bytes())
    return _coco(source, content, train, stem, "train"), _coco(source, content, val, stem, "val")


def take(records: Records, chosen: Array) -> Records:
    """The pictures, or tiles, where ``chosen`` [P] is true, with their boxes; faults are left behind."""
    counts = np.diff(records.offsets)
    rows = np.repeat(chosen, counts)
    tiles: dict[str, Any] = {}
    if isinstance(records, TiledRecords):
        tiles = {"picture": records.picture[chosen], "windows": records.windows[chosen]}
    return replace(
        records,
        files=records.files[chosen],
        image_ids=records.image_ids[chosen],
        heights=records.heights[chosen],
        widths=records.widths[chosen],
        offsets=np.concatenate([[0], np.cumsum(counts[chosen])]).astype(records.offsets.dtype),
        boxes=records.boxes[rows],
        labels=records.labels[rows],
        crowd=records.crowd[rows],
        area=records.area[rows],
        faults=(),
        account=None,
        **tiles,
    )


def _list(source: FileSource, records: Records, stem: Path, part: str) -> SplitFile:
    """A list of the part's pictures: of their stems for VOC, else of their paths."""
    path = stem.with_name(f"{stem.name}.{part}.txt")
    names = [str(name) for name in records.files]
    if isinstance(source, VocSource):
        names = [PurePosixPath(name).stem for name in names]
    for name in names:
        if lines_of(name.strip()) != [name]:
            raise DataError(
                f"{records.root}: {name!r} cannot stand in a list of pictures, where names have no line break and "
                "no blank at their ends; rename the picture"
            )
    changes = {"split": str(path.absolute())} | ({"part": None} if isinstance(source, YoloSource) else {})
    return SplitFile(path, "".join(f"{name}\n" for name in names), source.model_copy(update=changes), records)


def _coco(source: CocoSource, content: dict[str, Any], records: Records, stem: Path, part: str) -> SplitFile:
    path = stem.with_name(f"{stem.name}.{part}.json")
    ids = set(records.image_ids.tolist())

    def rows(name: str, key: str) -> list[Any]:
        return [row for row in content[name] if isinstance(row, dict) and whole(row.get(key)) in ids]

    kept = {**content, "images": rows("images", "id"), "annotations": rows("annotations", "image_id")}
    images = source.images or str(Path(source.annotations).parent)
    part_source = source.model_copy(update={"annotations": str(path.absolute()), "images": images})
    return SplitFile(path, json.dumps(kept), part_source, records)
