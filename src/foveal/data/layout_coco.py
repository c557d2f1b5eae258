"""Which COCO JSON files a folder holds, and where their pictures are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from foveal.config.schema import CocoSource, FileSource
from foveal.data.parts import Part, part_of, part_of_folder
from foveal.errors import DataError


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
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
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
    for folder in candidates:
        if any((folder / name).is_file() for name in names):
            return CocoSource(
                format="coco",
                annotations=str(file.absolute()),
                images=None if folder == file.parent else str(folder.absolute()),
            )
    tried = ", ".join(dict.fromkeys(str(folder) for folder in candidates))
    raise DataError(f"{file}: its pictures, such as {names[0]!r}, were not found; looked in {tried}")


def _first_pictures(file: Path) -> list[str]:
    try:
        content: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as JSON: {' '.join(str(error).split())[:120]}") from None
    images = content.get("images") if isinstance(content, dict) else None
    names = [image.get("file_name") for image in images or () if isinstance(image, dict)]
    texts = [name for name in names if isinstance(name, str) and name and "\0" not in name]
    if not texts:
        raise DataError(f"{file}: no COCO labels: needs 'images' with a 'file_name' each")
    return texts[:20]
