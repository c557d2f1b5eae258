"""Which YOLO labels a folder holds: by its data.yaml, or by folders of label files beside pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import cast

from foveal.config.schema import FileSource, YoloSource
from foveal.data.decode import EXTENSIONS
from foveal.data.inside import is_inside, same_form
from foveal.data.parts import Part, if_meant, is_of_the_set, part_of_folder
from foveal.data.yolo_plan import CLASS_LISTS, swapped
from foveal.data.yolo_rows import YoloRow, read_rows
from foveal.data.yolo_yaml import DataYaml, find_part, is_data_yaml, read_data_yaml
from foveal.errors import DataError

LABELS_LOOKED_AT = 20


def yolo_parts(
    folders: Sequence[tuple[Path, list[str]]], root: Path, left_out: list[str]
) -> tuple[dict[Part, FileSource], list[str]]:
    """The parts of a folder, as walked, and what a person should know of the choice. Empty: no YOLO labels.

    left_out: takes a line for a folder of labels whose pictures are not looked for.
    """
    yamls = [folder / n for folder, names in folders for n in names if n.lower().endswith((".yaml", ".yml"))]
    found = [file for file in yamls if is_data_yaml(file)]
    if len(found) > 1:
        both = " and ".join(str(file.relative_to(root)) for file in found[:2])
        raise DataError(
            f"{root}: both {both} list classes and parts; give the file itself: foveal init {found[0]}"
        )
    if found:
        parts, notes = parts_of_yaml(found[0], root)
        return parts, [*notes, *_other_lists(folders, found[0])]
    return _label_folders(folders, root, left_out), []


def parts_of_yaml(file: Path, root: Path) -> tuple[dict[Part, FileSource], list[str]]:
    """The parts of one data.yaml. root: the folder a person named, in which their pictures may be."""
    sheet = read_data_yaml(file)
    parts: dict[Part, FileSource] = {}
    notes = []
    refused: DataError | None = None
    for part in sheet.parts:
        name = cast(Part, part)
        try:
            find_part(sheet, part)
        except DataError as error:
            images = _beside(sheet, part, root)
            if images is not None:
                parts[name] = _source(file, images=images)
                continue
            refused = refused or error
            notes.append(f"{error}: left out")
        else:
            parts[name] = _source(file, part=part)
    if refused is not None and not parts:
        raise refused
    if not sheet.parts:
        raise DataError(f"{file}: names no train, val or test")
    return parts, notes


def _source(file: Path, part: str | None = None, images: Path | None = None) -> YoloSource:
    values = {"annotations": str(file.absolute()), "part": part, "images": images and str(images.absolute())}
    return YoloSource.model_validate({"format": "yolo", **values})


def _beside(sheet: DataYaml, part: str, root: Path) -> Path | None:
    """The folder that a part is written to be in, where that is outside the file's folder but inside ``root``."""
    if len(sheet.parts[part]) != 1:
        return None
    folder = Path(os.path.normpath(sheet.file.parent / sheet.path / sheet.parts[part][0]))
    return folder if folder.is_dir() and is_inside(folder, root) else None


def _other_lists(folders: Sequence[tuple[Path, list[str]]], file: Path) -> Iterator[str]:
    """A note on split lists that the data.yaml does not mention."""
    for folder, names in folders:
        lists = [name for name in names if name in ("train.txt", "val.txt", "valid.txt", "test.txt")]
        text = read_data_yaml(file).parts.values()
        named = {PurePath(value).name for values in text for value in values}
        if len(lists) > 1 and not named & set(lists):
            example = next((name for name in lists if name.startswith("train")), lists[0])
            yield (
                f"{', '.join(lists)} in {folder}\nare not named by {file.name} and not used: to go by them, write "
                f"split: {folder / example}\nand so on in place of part: in the sources"
            )


def _label_folders(
    folders: Sequence[tuple[Path, list[str]]], root: Path, left_out: list[str]
) -> dict[Part, FileSource]:
    """Folders of label files with pictures of the same names beside them, or in ``images`` for ``labels``."""
    parts: dict[Part, FileSource] = {}
    for folder, names in folders:
        labels = [name for name in names if name.lower().endswith(".txt") and name not in CLASS_LISTS]
        candidates = (Path(*swapped(folder.parts, frozenset({"labels"}), "images")), folder)
        allowed = [one for one in candidates if one.is_dir() and is_of_the_set(one, folder, root)]
        images = _pictures_of(allowed, {same_form(PurePath(name).stem) for name in labels})
        out = [] if images else [one for one in candidates[:1] if one.is_dir() and one not in allowed]
        if not (images or out) or not _has_rows(folder, labels):
            continue
        if images is None:
            left_out.append(
                f"{out[0]} leads out of {root} and is not used: {if_meant('yolo', folder, out[0])}"
            )
            continue
        part = part_of_folder(folder, root) or part_of_folder(folder.parent, root) or "all"
        if part in parts:
            raise DataError(
                f"{folder}: a second folder of label files for '{part}', after {parts[part].annotations}; "
                "give one of the two folders"
            )
        parts[part] = _source(folder, images=images)
    return parts


def _pictures_of(candidates: Sequence[Path], stems: set[str]) -> Path | None:
    for candidate in candidates if stems else ():
        with os.scandir(candidate) as entries:
            paths = (PurePath(entry.name) for entry in entries)
            if any(path.suffix.lower() in EXTENSIONS and same_form(path.stem) in stems for path in paths):
                return candidate
    return None


def _has_rows(folder: Path, labels: Sequence[str]) -> bool:
    for name in labels[:LABELS_LOOKED_AT]:
        try:
            rows = read_rows(folder / name)
        except DataError:
            continue
        if any(isinstance(row, YoloRow) for row in rows):
            return True
    return False
