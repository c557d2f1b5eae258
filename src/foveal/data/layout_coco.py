"""Which COCO JSON files a folder holds, and where their pictures are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from foveal.config.schema import CocoSource, FileSource
from foveal.data.coco_json import LISTS, json_text, load_coco
from foveal.data.inside import find_file, is_inside, mending, spellings
from foveal.data.parts import Part, if_meant, part_of, part_of_folder
from foveal.errors import DataError

PICTURES_LOOKED_AT = 20
_FILE_NAME = re.compile(r'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


def coco_parts(files: list[Path], root: Path) -> dict[Part, FileSource]:
    named = [f for f in files if f.name.startswith("instances_") or f.name.endswith("_annotations.coco.json")]
    found: dict[Part, Path] = {}
    for file in named or files:
        if not named and not _is_coco(file):
            continue
        part = part_of(file.stem) or part_of_folder(file.parent, root) or "all"
        if part in found:
            raise DataError(
                f"{root}: both {found[part].relative_to(root)} and {file.relative_to(root)} look like the "
                f"{part} labels; give the file itself: foveal init {file}"
            )
        found[part] = file
    return {part: coco_source(file, root) for part, file in found.items()}


def _is_coco(file: Path) -> bool:
    try:
        text = json_text(file)
        # Most other files are known by this already, and parsing a large one takes long.
        if not all(f'"{key}"' in text for key in LISTS):
            return False
        content = json.loads(text)
    except (DataError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or not content.keys() >= set(LISTS):
        return False
    rows = content["annotations"]
    # A detector's output may have the same three lists; its rows have scores.
    return isinstance(rows, list) and not any(isinstance(row, dict) and "score" in row for row in rows[:1])


def coco_source(file: Path, root: Path) -> CocoSource:
    """The source of one JSON file, with the folder in which its pictures are found.

    DataError where the file is no COCO JSON or none of its first pictures lies in a folder that fits.
    """
    names = _first_pictures(file)
    part = re.sub(r"^instances_", "", file.stem)
    # Above the folder a person named, only the official layout (annotations/ beside the pictures) is looked at.
    inside = file.parent != root or file.parent.name == "annotations"
    above = [file.parent, file.parent.parent] if inside else [file.parent]
    candidates = [file.parent]
    for folder in above:
        candidates += [folder / "images" / part, folder / part, folder / "images", folder]
    limit = root.parent if file.parent == root and inside else root
    allowed = [folder for folder in candidates if is_inside(folder, limit) or is_inside(folder, root)]
    found = _holding(allowed, [[name] for name in names]) or _holding(allowed, map(spellings, names))
    if found is None:
        tried = ", ".join(dict.fromkeys(str(folder) for folder in allowed))
        out = [folder for folder in candidates if folder not in allowed and folder.is_dir()]
        told = f"; {out[0]} leads out of {limit}: {if_meant('coco', file, out[0])}" if out else ""
        raise DataError(
            f"{file}: its pictures, such as {names[0]!r}, were not found; looked in {tried}"
            f"{told or _linked_picture(allowed, names)}"
        )
    return CocoSource(
        format="coco",
        annotations=str(file.absolute()),
        images=None if found == file.parent else str(found.absolute()),
    )


def _linked_picture(folders: Sequence[Path], names: Sequence[str]) -> str:
    """A note on the first picture that is there as a link out of its folder; empty where none is."""
    paths = (folder / name for folder in folders for name in names)
    return next(
        (f"; {path} leads out of {path.parent}{mending(path)}" for path in paths if mending(path)), ""
    )


def _holding(folders: Sequence[Path], pictures: Iterable[Sequence[str]]) -> Path | None:
    """The first folder that holds one of the pictures, each given by all its spellings."""
    names = [name for spelled in pictures for name in spelled]
    return next(
        (folder for folder in folders if find_file(names, os.path.realpath(folder)) is not None), None
    )


def _first_pictures(file: Path) -> list[str]:
    """Names of some pictures, found in the text: to read all of a large file takes as long as to use it."""
    names = []
    for found in _FILE_NAME.finditer(json_text(file)):
        with suppress(ValueError):
            names.append(json.loads(found[1]))
        if len(names) == PICTURES_LOOKED_AT:
            break
    if not any(names):
        load_coco(file)  # It may say what is wrong with the file, and where.
        raise DataError(f"{file}: no COCO labels: needs 'images' with a 'file_name' each")
    return [name for name in names if name]
