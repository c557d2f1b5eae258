"""Pictures of a folder by the names that tables use for them."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from foveal.data.decode import EXTENSIONS, picture_size
from foveal.data.inside import is_inside
from foveal.errors import DataError


def is_picture(cell: str) -> bool:
    """Whether a text ends as a picture's name does."""
    return PurePosixPath(cell.replace("\\", "/")).suffix.lower() in EXTENSIONS


class PictureFinder:
    """Finds pictures in a folder by the names that tables use: with or without folder and extension."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str) -> str | None:
        """Path relative to the folder, always inside it; None where there is no such picture."""
        slashed = name.replace("\\", "/")
        bare = PurePosixPath(slashed)
        for candidate in (name, slashed, bare.name):
            full = os.path.normpath(self.root / candidate) if candidate and "\0" not in candidate else ""
            if full and is_inside(Path(full), self.root) and os.path.isfile(full):
                return Path(os.path.relpath(full, self.root)).as_posix()
        for stem in (bare.name, bare.stem):
            others = self._by_stem.get(stem, [])
            if len(others) == 1:
                return others[0]
        return None

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Pictures by stem: for names without an extension, or with another case of it."""
        found: dict[str, list[str]] = {}
        try:
            names = sorted(os.listdir(self.root))
        except OSError:
            return found
        for path in map(PurePosixPath, names):
            if path.suffix.lower() in EXTENSIONS and is_inside(self.root / path, self.root):
                found.setdefault(path.stem, []).append(path.name)
        return found

    def size(self, name: str) -> tuple[int, int] | None:
        """Height and width of a picture that can be found and opened."""
        relative = self.find(name)
        try:
            size = picture_size(self.root / relative) if relative is not None else None
        except DataError:
            return None
        return (size.height, size.width) if size is not None else None
