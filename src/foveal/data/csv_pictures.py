"""Pictures of a folder by the names that tables use for them."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from foveal.data.csv_cell import text_of
from foveal.data.decode import EXTENSIONS, picture_size
from foveal.data.inside import find_file, is_inside, printable, same_form, slashed, spellings
from foveal.errors import DataError


def is_picture(cell: str) -> bool:
    """Whether a text ends as a picture's name does."""
    return slashed(cell).suffix.lower() in EXTENSIONS


class PictureFinder:
    """Finds pictures in a folder by the names that tables use: with or without folder and extension."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)

    def find(self, name: str) -> str | None:
        """Path relative to the folder, always inside it; None where there is no such picture.

        name: a cell; the text that was quoted in it against spreadsheets comes first.
        """
        text = text_of(name)
        names = dict.fromkeys((text, name, self._by_spelling.get(text.rpartition("/")[2], name)))
        relative = find_file((spelled for one in names for spelled in spellings(one)), self._real_root)
        if relative is not None:
            return Path(relative).as_posix()
        bare = slashed(same_form(name))
        for stem in (bare.name, bare.stem) if is_picture(name) else (bare.name,):
            others = self._by_stem.get(stem, [])
            if len(others) == 1:
                return others[0]
        return None

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        """Names with signs that no cell of ours can hold, as they are spelled there."""
        return {printable(name): name for name in self._names if not name.isprintable()}

    @cached_property
    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.root))
        except OSError:
            return []

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Pictures by stem: for names without an extension, or with another one."""
        found: dict[str, list[str]] = {}
        for path in map(PurePosixPath, self._names):
            if path.suffix.lower() in EXTENSIONS and is_inside(self.root / path, self.root):
                found.setdefault(same_form(path.stem), []).append(path.name)
        return found

    def size(self, name: str) -> tuple[int, int] | None:
        """Height and width of a picture that can be found and opened."""
        relative = self.find(name)
        try:
            size = picture_size(self.root / relative) if relative is not None else None
        except DataError:
            return None
        return (size.height, size.width) if size is not None else None
