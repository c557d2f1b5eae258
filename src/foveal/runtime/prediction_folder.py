"""The folder that a prediction writes: its journal, what it was made with, and the files made of it at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from foveal.errors import UsageError
from foveal.files import free_name, write_text
from foveal.runtime.formats import FORMATS, Found
from foveal.runtime.journal import Journal, Row, read_journal
from foveal.runtime.remote import is_remote
from foveal.types import ClassNames

JOURNAL = "detections.jsonl"
SETTINGS = "settings.json"
LONGEST_NAME = 180
"""Letters of a file's name; disks allow 255 bytes."""
_OURS = ("detections", "settings", "classes")
"""Names that nothing else in the folder has."""


class PredictionFolder:
    """Rows of pictures go in as they are found; nothing is on the disk before the first.

    output: where it is to be; a folder that is there is left alone and a numbered one made, unless ``resume``
    says to go on with it. settings: what the detections depend on. UsageError where a folder to go on with was
    made with other settings, or by another program.
    """

    def __init__(self, output: Path, settings: dict[str, Any], resume: bool = False) -> None:
        self.path = output if resume else free_name(output)
        self._settings = settings
        self._is_new = not self.path.exists()
        if not self._is_new:
            self._check()
        self.journal = Journal(self.path / JOURNAL)
        self._names: dict[str, str] = {}
        self._taken = set(_OURS)
        for file, drawn in self.journal.done.items():
            if drawn is not None:
                self._names[file] = Path(drawn).stem
                self._taken.add(self._names[file].casefold())

    def todo(self, files: Iterable[str]) -> list[str]:
        """The files that have no row yet, each with a name of its own from now on."""
        files = list(files)
        for file, name in zip(files, _readable_names(files), strict=True):
            if file not in self._names:
                self._names[file] = self._free(name)
        return [file for file in files if file not in self.journal.done]

    def name(self, file: str) -> str:
        """What everything written of a file is called, without an ending."""
        return self._names[file]

    def add(self, row: Row) -> None:
        """Keep a row."""
        if self._is_new:
            write_text(self.path / SETTINGS, json.dumps(self._settings, indent=1) + "\n")
            self._is_new = False
        self.journal.add(row)

    def rows(self) -> Iterator[Row]:
        """All rows, from the disk."""
        return read_journal(self.journal.path)

    def finish(self, formats: Sequence[str], classes: ClassNames) -> None:
        """Write the formats, from all rows there are."""
        for row in self.rows():
            if row["file"] not in self._names:  # of an earlier run, over other pictures
                self._names[row["file"]] = self._free(_readable_names([row["file"]])[0])
        info = {"thresholds": self._settings["thresholds"]}
        found = Found(self.path, self.rows, classes, info, self._names)
        for name in formats:
            FORMATS[name](found)

    def discard(self) -> None:
        """Take away what this run wrote, where it found a free place and has nothing but errors."""
        self.journal.close()
        with suppress(OSError):
            self.journal.path.unlink(missing_ok=True)
            (self.path / SETTINGS).unlink(missing_ok=True)
            self.path.rmdir()

    def _check(self) -> None:
        file = self.path / SETTINGS
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if self.path.is_dir() and not any(self.path.iterdir()):
                self._is_new = True
                return
            raise UsageError(
                f"{self.path}: not a folder that foveal predict can go on with (no {SETTINGS} in it); leave out "
                "--resume, or choose another place with -o"
            ) from None
        now = json.loads(json.dumps(self._settings))
        other = [key for key in now if before.get(key) != now[key]]
        if other:
            key = other[0]
            raise UsageError(
                f"{self.path}: was made with {key} {before.get(key)}, not {now[key]}; give the same model and "
                "options, or choose another place with -o"
            )

    def _free(self, name: str) -> str:
        free, number = name, 1
        while free.casefold() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.casefold())
        return free


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _readable_names(files: Sequence[str]) -> list[str]:
    """A name for each: its own without ending, with its folder's before it where another has it, too."""
    parts = [PurePosixPath(unquote(urlsplit(f).path)) if is_remote(f) else Path(f) for f in files]
    count: dict[str, int] = {}
    for part in parts:
        count[part.stem] = count.get(part.stem, 0) + 1
    names = [
        part.stem if count[part.stem] == 1 or not part.parent.name else f"{part.parent.name}_{part.stem}"
        for part in parts
    ]
    return [name[-LONGEST_NAME:] or "picture" for name in names]
