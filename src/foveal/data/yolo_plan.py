"""Where the pictures, the label files and the class names of a YOLO set are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from foveal.data.inside import is_inside
from foveal.data.lists import lines_of, read_text
from foveal.data.yolo_yaml import Notice, find_part, read_data_yaml
from foveal.errors import DataError

CLASS_LISTS = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "predefined_classes.txt")
PICTURE_STEPS = frozenset({"images", "jpegimages"})
"""Steps of a picture's path in whose place ``labels`` stands in its label's path."""


class Plan(NamedTuple):
    """Where everything of one read is."""

    root: Path
    """Nothing outside is read."""
    places: list[Path]
    """Folders of pictures, and lists of them."""
    labels: Path | None
    """Folder of the label files, where a person named it."""
    names: dict[int, str]
    """Class id -> name; empty where nothing lists them."""
    keypoints: int
    notices: list[Notice]


def plan_read(
    annotations: Path,
    images: Path | None,
    part: str | None,
    split: Path | None,
    names: Mapping[int, str] | None = None,
) -> Plan:
    """What is to be read, from where. The arguments are those of ``read_yolo``."""
    if annotations.is_dir():
        return _plan_folder(annotations, images, part, split, names)
    return _plan_yaml(annotations, images, part, split, names)


def _plan_yaml(
    file: Path, images: Path | None, part: str | None, split: Path | None, names: Mapping[int, str] | None
) -> Plan:
    sheet = read_data_yaml(file)
    notices, root, labels = list(sheet.notices), file.parent, None
    if names is not None:
        notices = [notice for notice in notices if notice.kind != "class_list"]
    elif not sheet.names:
        notices.append(Notice("class_list", str(file), f"no names: {_NAMELESS}"))
    if images is not None:
        if not is_inside(images, root):
            root, images, labels = _elsewhere(images)
        places = [split or images]
    elif split is not None:
        places = [split]
    else:
        if part is None and len(sheet.parts) > 1:
            known = ", ".join(sheet.parts)
            raise DataError(f"{file}: which part? add part: to the source, one of {known}")
        places, moved = find_part(sheet, part or next(iter(sheet.parts), "train"))
        notices += moved
    return Plan(root, places, labels, dict(names or sheet.names), sheet.keypoints, notices)


def _plan_folder(
    labels: Path, images: Path | None, part: str | None, split: Path | None, names: Mapping[int, str] | None
) -> Plan:
    if part is not None:
        raise DataError(f"{labels}: part: {part} needs a data.yaml, and this is a folder of label files")
    named = images is not None
    if images is None:
        beside = Path(*swapped(labels.parts, frozenset({"labels"}), "images"))
        images = beside if beside.is_dir() else labels
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of pictures (needed by {labels})")
    root = _around(labels, images)
    listed, notices = _listed_names([labels, images, root, root.parent]) if names is None else (names, [])
    if not is_inside(labels, root) or (named and not is_inside(images, root)):
        labels, images = _real(labels), _real(images) if named else images
        root = _around(labels, images)
    return Plan(root, [split or images], labels, dict(listed), 0, notices)


def _elsewhere(images: Path) -> tuple[Path, Path, Path | None]:
    """Root, pictures and labels of a folder of pictures that a person named, perhaps by a link.

    Its labels are in ``labels`` in the place of ``images`` in its path, as it was named, or beside the pictures.
    """
    labels = Path(*swapped(images.absolute().parts, PICTURE_STEPS, "labels"))
    if not labels.is_dir():
        return images.absolute(), images, None
    root = _around(labels, images)
    if is_inside(images, root):
        return root, images, None
    return _around(_real(labels), _real(images)), _real(images), _real(labels)


def _around(*folders: Path) -> Path:
    return Path(os.path.commonpath([folder.absolute() for folder in folders]))


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


_NAMELESS = "classes are called 'class 0', 'class 1', ..."


def _listed_names(folders: Sequence[Path]) -> tuple[dict[int, str], list[Notice]]:
    """Class names of a list or a data.yaml beside the labels; none, told, where there is neither."""
    notices: list[Notice] = []
    for path in (folder / name for folder in folders for name in (*CLASS_LISTS, "data.yaml")):
        if path.is_file() and not is_inside(path, path.parent):
            told = f"a link out of {path.parent}: not read; give the names as names: in the source"
            notices.append(Notice("unsafe_path", str(path), told))
        elif path.name == "data.yaml" and path.is_file():
            sheet = read_data_yaml(path)
            return sheet.names, [*notices, *sheet.notices]
        elif path.is_file():
            text = read_text(path, "list of classes", 1_000_000).rstrip()
            lines = lines_of(text) if text else []
            return {number: line.strip() or f"class {number}" for number, line in enumerate(lines)}, notices
    message = f"no {' or '.join(CLASS_LISTS[:2])} here: {_NAMELESS}"
    return {}, [*notices, Notice("class_list", str(folders[0]), message)]


def swapped(steps: Sequence[str], old: frozenset[str], new: str) -> list[str]:
    """Steps of a path with the last one that is in ``old``, whatever its case, replaced."""
    result = list(steps)
    for index in reversed(range(len(result))):
        if result[index].lower() in old:
            result[index] = new
            break
    return result
