"""Which part of the data a name tells: train, val, test."""

from __future__ import annotations

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

    Labels and lists that are links out of the root are left out, and added to ``links_out``.
    """
    for name, folders, files in os.walk(root):
        depth = len(Path(name).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < MAX_DEPTH else []
        folder, shown = Path(name), sorted(file for file in files if not file.startswith("."))
        out = [
            file for file in shown if file.lower().endswith(LABEL_FILES) and _leads_out(folder / file, root)
        ]
        links_out += [folder / file for file in out]
        yield folder, [file for file in shown if file not in out] if out else shown


def _leads_out(path: Path, root: Path) -> bool:
    return path.is_symlink() and not is_inside(path, root)
