"""A ``data.yaml`` of YOLO labels -> its class names, and where the folders and lists of its parts really are.

The format: Ultralytics, "Object detection datasets overview", "Ultralytics YOLO format". Exported files often
name folders of the machine they were made on, or of a folder beside: those are looked for inside the file's
own folder, and every such find is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from foveal.config.yaml_text import CapError, compose
from foveal.data.inside import is_inside
from foveal.data.lists import read_text
from foveal.data.parts import if_meant, part_of
from foveal.data.records import FaultKind
from foveal.errors import DataError

MAX_BYTES = 1_000_000
PARTS = ("train", "val", "test")
_KEYS = frozenset({"path", "names", "nc", "kpt_shape", *PARTS, "valid"})


class Notice(NamedTuple):
    """Something read otherwise than it is written."""

    kind: FaultKind
    where: str
    message: str


class DataYaml(NamedTuple):
    """The file as it is written."""

    file: Path
    names: dict[int, str]
    """Class id -> name, in order of id; empty where the file gives none."""
    path: str
    parts: dict[str, tuple[str, ...]]
    """train, val, test -> folders, pictures' lists, as written."""
    lines: dict[str, int]
    """The line of each key."""
    keypoints: int
    """How many numbers of a row follow its box: ``kpt_shape``; 0 in a set of boxes."""
    notices: tuple[Notice, ...]

    def where(self, key: str) -> str:
        """``file:line`` of a key."""
        return f"{self.file}:{self.lines[key]}" if key in self.lines else str(self.file)


def is_data_yaml(file: Path) -> bool:
    """Whether a YAML file lists classes and parts as ``data.yaml`` does; a broken one does not."""
    try:
        keys = _mapping(file).keys()
    except DataError:
        return False
    return bool(keys & {"names", "nc"}) and bool(keys & {*PARTS, "valid"}) and not keys & {"model", "data"}


def read_data_yaml(file: Path) -> DataYaml:
    """Read the file. DataError, with the line where there is one, where it cannot be understood."""
    nodes = _mapping(file)
    lines = {key: node.start_mark.line + 1 for key, node in nodes.items()}

    def place(key: str) -> str:
        return f"{file}:{lines[key]}"

    names, notices = _names(nodes["names"], place("names")) if "names" in nodes else ({}, [])
    parts: dict[str, tuple[str, ...]] = {}
    for key in (*PARTS, "valid"):
        values = _texts(nodes[key], place(key)) if key in nodes else ()
        if values:
            parts.setdefault("val" if key == "valid" else key, values)
    count = _text(nodes.get("nc"))
    if count and names and count != str(len(names)):
        told = f"nc says {count} classes, names lists {len(names)}: names is believed"
        notices.append(Notice("class_list", place("nc"), told))
    shape = [_text(item) or "" for item in _items(nodes.get("kpt_shape"))]
    keypoints = int(shape[0]) * int(shape[1]) if len(shape) == 2 and all(_small(n) for n in shape) else 0
    return DataYaml(file, names, _text(nodes.get("path")) or "", parts, lines, keypoints, tuple(notices))


def find_part(sheet: DataYaml, part: str) -> tuple[list[Path], list[Notice]]:
    """The folders and list files of a part, all inside the file's own folder.

    DataError where the file does not name the part, or what it names is not there.
    """
    if part not in sheet.parts:
        known = ", ".join(sheet.parts) or "none"
        raise DataError(f"{sheet.file}: no part {part!r}; it has {known}")
    found, notices = [], []
    for value in sheet.parts[part]:
        path, as_written = _find(sheet, part, value)
        found.append(path)
        if not as_written:
            told = f"{part}: {value!r} is not there; taken instead: {path}"
            notices.append(Notice("moved_path", sheet.where(part), told))
    return found, notices


def _find(sheet: DataYaml, part: str, value: str) -> tuple[Path, bool]:
    """One place of a part, and whether it is where it is written."""
    folder = sheet.file.parent
    tried = []
    for number, candidate in enumerate(_candidates(sheet.path, value, part)):
        path = Path(os.path.normpath(folder / candidate))
        if path not in tried:
            tried.append(path)
            if is_inside(path, folder) and path.exists():
                return path, number == 0
    inside = ", ".join(str(path) for path in tried if is_inside(path, folder)) or "nothing inside its folder"
    raise DataError(
        f"{sheet.where(part)}: {part}: {value!r} was not found; looked for {inside}{_outside(sheet, value)}"
    )


def _outside(sheet: DataYaml, value: str) -> str:
    """What to do where a part is where it is written, but outside the file's folder."""
    folder = sheet.file.parent.absolute()
    path = Path(os.path.normpath(folder / sheet.path / value))
    if is_inside(path, folder) or not path.exists():
        return ""
    if not path.is_dir():
        data = os.path.normpath(folder / sheet.path) if sheet.path else path.parent
        return f"; {path} lies outside: if it is meant, copy {sheet.file.name} into {data}, and give that one"
    around = os.path.commonpath((folder, path))
    told = f"; {path} lies outside: {if_meant('yolo', sheet.file, path)}"
    # Around a link there is only the folder itself, and around two disks everything.
    return told if around in (str(folder), os.path.sep) else f"{told}, or foveal init {around}"


def _candidates(base: str, value: str, part: str) -> Iterator[PurePosixPath]:
    """Where a path may lie, seen from the file's folder: as written first, then ever freer readings."""
    base, value = base.replace("\\", "/"), value.replace("\\", "/")
    yield PurePosixPath(base, value)
    if PurePosixPath(value) == PurePosixPath():
        return  # Somewhere else, "the folder itself" would be the whole set.
    yield PurePosixPath(value)
    bare = PurePosixPath(*(step for step in PurePosixPath(value).parts if step not in ("..", ".", "/")))
    steps = bare.parts
    if base:
        yield PurePosixPath(base, bare)
    yield bare
    # The end of a path from another machine; a lone "images" might be those of any part.
    for start in range(1, len(steps)):
        if len(steps) - start > 1 or steps[start].endswith(".txt"):
            yield PurePosixPath(*steps[start:])
    words = [step for step in steps if part_of(step) == part]
    for word in dict.fromkeys([*words, *(("val", "valid", "validation") if words and part == "val" else ())]):
        yield PurePosixPath(word, "images")
        yield PurePosixPath("images", word)
        yield PurePosixPath(word)


# ---------------------------------------------------------------- the YAML itself


def _mapping(file: Path) -> dict[str, Node]:
    """Top-level keys of interest -> their nodes; text stays text, so that a class may be called ``no``."""
    text = read_text(file, "data.yaml", MAX_BYTES)
    try:
        root = compose(text)
    except CapError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(f"{file}:{line}: {error.problem}, so no data.yaml") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(f"{file}:{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{file}: not YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(root, MappingNode):
        raise DataError(f"{file}: holds no keys such as train, val and names")
    found: dict[str, Node] = {}
    for key, value in root.value:
        name = key.value if isinstance(key, ScalarNode) else ""
        if name in found and name in _KEYS:
            raise DataError(f"{file}:{key.start_mark.line + 1}: key {name!r} stands twice; keep one")
        found[name] = value
    return found


def _names(node: Node, where: str) -> tuple[dict[int, str], list[Notice]]:
    """Names by id, from a list or from a mapping with ids; blank ones get the name ``class ID``."""
    if isinstance(node, SequenceNode):
        pairs = [(str(number), item) for number, item in enumerate(node.value)]
    elif isinstance(node, MappingNode):
        pairs = [(key.value if isinstance(key, ScalarNode) else "", item) for key, item in node.value]
    elif _text(node):
        raise DataError(f"{where}: names: needed is a list of class names, or ids with names")
    else:
        return {}, []
    names: dict[int, str] = {}
    notices = []
    for key, item in pairs:
        if not _small(key):
            raise DataError(f"{where}: names: {key[:40]!r} is no class id")
        name = _text(item)
        if name is None:
            raise DataError(f"{where}: names: class {key} has no name that is one text")
        if not name:
            notices.append(Notice("class_list", where, f"class {key} has a blank name: called 'class {key}'"))
        if int(key) in names:
            notices.append(Notice("class_list", where, f"class id {key} stands twice: the first one counts"))
        names.setdefault(int(key), name or f"class {key}")
    return dict(sorted(names.items())), notices


def _texts(node: Node, where: str) -> tuple[str, ...]:
    values = [_text(item) for item in _items(node)]
    if any(value is None or "\0" in value for value in values):
        raise DataError(f"{where}: needed is a folder, a .txt list, or a list of them")
    return tuple(value for value in values if value)


def _items(node: Node | None) -> list[Node]:
    return [] if node is None else node.value if isinstance(node, SequenceNode) else [node]


def _text(node: Node | None) -> str | None:
    """A scalar as text, null as the empty one; None for a list or a mapping."""
    if not isinstance(node, ScalarNode):
        return None
    value = " ".join(str(node.value).split())
    return "" if node.tag.endswith(":null") else value


def _small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 8
