"""Which label files a folder holds, and which part of the data each is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from foveal.config.schema import CocoSource, VocSource
from foveal.errors import DataError

Part = Literal["train", "val", "test", "trainval", "all"]
WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}
MAX_DEPTH = 6
LOOKED_FOR = (
    "COCO JSON (annotations/instances_*.json, train/_annotations.coco.json or any JSON with images, annotations "
    "and categories) and Pascal VOC XML (Annotations beside JPEGImages, or XML beside the pictures)"
)
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img")


class Layout(NamedTuple):
    """The label files found, by the part of the data they hold."""

    kind: Literal["coco", "voc"]
    parts: dict[Part, CocoSource | VocSource]


def find_layout(source: Path) -> Layout:
    """Looks at a folder, or at one COCO JSON file. DataError says what was looked for."""
    if source.is_file():
        return Layout("coco", {"all": coco_source(source, source.parent)})
    if not source.is_dir():
        raise DataError(f"{source}: no such folder or file")
    jsons, folders, others = [], [], set()
    for folder, names in _walk(source):
        jsons += [folder / name for name in names if name.lower().endswith(".json")]
        if any(name.lower().endswith(".xml") for name in names):
            folders.append(folder)
        others |= {Path(name).suffix.lower() for name in names}
    parts = _coco_parts(jsons, source)
    if parts:
        return Layout("coco", parts)
    parts = _voc_parts(folders, source)
    if parts:
        return Layout("voc", parts)
    hint = ""
    if ".txt" in others and {".yaml", ".yml"} & others:
        hint = "; a .yaml with .txt labels looks like YOLO: convert it to COCO JSON first"
    elif ".csv" in others:
        hint = "; it holds .csv files: convert them to COCO JSON first"
    raise DataError(f"{source}: no labels found; looked {MAX_DEPTH} folders deep for {LOOKED_FOR}{hint}")


def part_of(name: str) -> Part | None:
    """``instances_train2017`` -> train, ``valid`` -> val; None where the name says nothing."""
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in WORDS:
            return WORDS[word]
    return None


def _part_of_folder(folder: Path, root: Path) -> Part | None:
    """The same for a folder inside the one that was given, whose own name says nothing about its content."""
    return part_of(folder.name) if folder != root and folder.is_relative_to(root) else None


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    for name, folders, files in os.walk(root):
        depth = len(Path(name).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < MAX_DEPTH else []
        yield Path(name), sorted(file for file in files if not file.startswith("."))


def _coco_parts(files: list[Path], root: Path) -> dict[Part, CocoSource | VocSource]:
    named = [f for f in files if f.name.startswith("instances_") or f.name.endswith("_annotations.coco.json")]
    found: dict[Part, Path] = {}
    for file in named or files:
        if not named and not _is_coco(file):
            continue
        part = part_of(file.stem) or _part_of_folder(file.parent, root) or "all"
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


def _voc_parts(folders: list[Path], root: Path) -> dict[Part, CocoSource | VocSource]:
    parts: dict[Part, CocoSource | VocSource] = {}
    for folder in folders:
        images = _picture_folder(folder)
        if images is None:
            continue
        images_text = None if images == folder else str(images.absolute())
        lists = folder.parent / "ImageSets" / "Main"
        splits = {part: lists / f"{part}.txt" for part in ("train", "val", "trainval", "test")}
        present = {part_of(name): file for name, file in splits.items() if file.is_file()}
        for part, file in present.items() or {None: None}.items():
            key: Part = part or _part_of_folder(folder, root) or _part_of_folder(folder.parent, root) or "all"
            if key in parts:
                raise DataError(
                    f"{folder}: a second folder of XML files for '{key}', after {parts[key].annotations}; "
                    "give one of the two folders"
                )
            parts[key] = VocSource(
                format="voc",
                annotations=str(folder.absolute()),
                images=images_text,
                split=str(file.absolute()) if file else None,
            )
    return parts


def _picture_folder(folder: Path) -> Path | None:
    """Where the pictures of a folder of XML files are: beside them, or in a folder next to theirs."""
    stems = {file.stem for file in folder.iterdir() if file.suffix.lower() == ".xml"}
    for candidate in [folder, *(folder.parent / name for name in PICTURE_FOLDERS)]:
        if not candidate.is_dir():
            continue
        if any(
            f.stem in stems and f.suffix.lower() not in (".xml", ".txt", ".json") for f in candidate.iterdir()
        ):
            return candidate
    return None
