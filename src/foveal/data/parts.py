"""What the layouts share: parts of the data told by names, the walk through folders, and what lies outside."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from foveal.data.inside import is_inside

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
LABEL_FILES = (".json", ".yaml", ".yml", ".csv", ".tsv", ".txt")
"""Endings of what is found by looking, and read whole; of XML files and pictures the readers tell themselves."""
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img")


def part_of(name: str) -> Part | None:
    """``instances_train2017`` -> train, ``valid`` -> val; None where the name says nothing."""
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in WORDS:
            return WORDS[word]
    return None


def part_of_folder(folder: Path, root: Path) -> Part | None:
    """The same for a folder inside the one that was given, whose own name says nothing about its content."""
    return part_of(folder.name) if folder != root and folder.is_relative_to(root) else None


def walk(root: Path, links_out: list[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Folders down to ``MAX_DEPTH`` and the names of their files, in order of name, without hidden ones.

    Folders, labels and lists that are links out of the root are left out, and added to ``links_out``.
    """
    for name, folders, files in os.walk(root):
        folder = Path(name)
        depth = len(folder.relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < MAX_DEPTH else []
        shown = sorted(file for file in files if not file.startswith("."))
        links = [*folders, *(file for file in shown if file.lower().endswith(LABEL_FILES))]
        out = {link for link in links if _leads_out(folder / link, root)}
        links_out += [folder / link for link in sorted(out)]
        yield folder, [file for file in shown if file not in out]


def _leads_out(path: Path, root: Path) -> bool:
    return path.is_symlink() and not is_inside(path, root)


def is_of_the_set(path: Path, labels: Path, root: Path) -> bool:
    """Whether a path may belong to a folder of labels: inside the root, and around a root that is that folder."""
    return is_inside(path, root) or (labels == root and is_inside(path, root.parent))


def if_meant(kind: str, annotations: Path, images: Path) -> str:
    """What to do where a folder of pictures lies outside of the data, in words."""
    source = f"{{format: {kind}, annotations: {_as_yaml(annotations)}, images: {_as_yaml(images)}}}"
    return f"if it is meant, give it as images: in the source, as in data: {{train: {source}}}"


def _as_yaml(path: Path) -> str:
    text = str(path.absolute())
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",:#&*!?|>{}[]@`%\"'") else text
