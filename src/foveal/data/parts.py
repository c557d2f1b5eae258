"""Which part of the data a name tells: train, val, test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

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


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders down to ``MAX_DEPTH`` and the names of their files, in order of name, without hidden ones."""
    for name, folders, files in os.walk(root):
        depth = len(Path(name).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < MAX_DEPTH else []
        yield Path(name), sorted(file for file in files if not file.startswith("."))
