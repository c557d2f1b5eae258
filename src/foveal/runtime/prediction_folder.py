"""The folder that a prediction writes: its journal, what it was made with, and the files made of it at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from foveal.errors import DiskError, UsageError
from foveal.files import free_name, write_text
from foveal.runtime.formats import FORMATS, Found
from foveal.runtime.journal import Journal, Row, read_journal
from foveal.runtime.remote import is_remote, public_name, remote_path
from foveal.types import ClassNames

JOURNAL = "detections.jsonl"
SETTINGS = "settings.json"
LONGEST_NAME = 180
"""Bytes of a file's name; disks allow 255, of which endings and numbers take some."""
_OURS = ("detections", "settings", "classes")
"""Names that nothing else in the folder has."""


class PredictionFolder:
    """Rows of pictures go in as they are found. A context, in which no other program writes into the folder.

    output: where it is to be; a folder that is there is left alone, unless it is empty, and a numbered one made;
    with ``resume`` it is gone on with. settings: what the detections depend on. UsageError where a folder to go on
    with was made with other settings, by another program, or is being written; DiskError where none can be made.
    """

    def __init__(self, output: Path, settings: dict[str, Any], resume: bool = False) -> None:
        self._settings = settings
        self.path, self._lock = _to_go_on_with(output) if resume else _new_folder(output)
        try:
            if _is_empty(self.path):
                write_text(self.path / SETTINGS, json.dumps(self._settings, indent=1) + "\n")
            else:
                self._check()
            self.journal = Journal(self.path / JOURNAL)
        except BaseException:
            _unlock(self._lock)
            raise
        self._names: dict[str, str] = {}
        self._taken = set(_OURS)
        for file, drawn in self.journal.done.items():
            if drawn is not None:
                self._names[file] = Path(drawn).stem
                self._taken.add(self._names[file].casefold())

    def __enter__(self) -> PredictionFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A folder without a row is not left behind."""
        self.journal.close()
        with suppress(OSError):
            if {path.name for path in self.path.iterdir()} <= {SETTINGS}:
                self.discard()
        _unlock(self._lock)

    def todo(self, files: Iterable[str]) -> list[str]:
        """The files that have no row yet, each with a name of its own from now on.

        UsageError for two addresses that their rows could not be told apart by.
        """
        rows: dict[str, str] = {}
        for file in files:
            if rows.setdefault(public_name(file), file) != file:
                raise UsageError(
                    f"{public_name(file)}: two addresses that differ in what is hidden alone (***) would have one "
                    "name in the results; give them to two commands, with -o each"
                )
        for row, name in zip(rows, _readable_names(list(rows)), strict=True):
            if row not in self._names:
                self._names[row] = self._free(name)
        return [file for row, file in rows.items() if row not in self.journal.done]

    def name(self, file: str) -> str:
        """What everything written of a file is called, without an ending."""
        return self._names[public_name(file)]

    def add(self, row: Row) -> None:
        """Keep a row."""
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
        """Take away what was written, where it is nothing but errors."""
        self.journal.close()
        with suppress(OSError):
            self.journal.path.unlink(missing_ok=True)
            (self.path / SETTINGS).unlink(missing_ok=True)
            self.path.rmdir()

    def _check(self) -> None:
        before = _settings_in(self.path)
        if before is None:
            raise _foreign(self.path)
        now = json.loads(json.dumps(self._settings))
        other = [key for key in now if key in before and before[key] != now[key]]
        if other:
            key = other[0]
            raise UsageError(
                f"{self.path}: was made with {key} {before[key]}, not {now[key]}; give the same model and "
                "options, or choose another place with -o"
            )

    def _free(self, name: str) -> str:
        free, number = name, 1
        while free.casefold() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.casefold())
        return free


def is_prediction_folder(folder: Path) -> bool:
    """Whether a prediction wrote it, by its settings."""
    return _settings_in(folder) is not None


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _new_folder(output: Path) -> tuple[Path, int | None]:
    """A folder with nothing in it, and the lock on it: two programs that start together get one each."""
    held: set[Path] = set()
    while True:
        path = free_name(output, lambda path: path in held or _is_taken(path))
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = _locked(path)
        except BlockingIOError:  # another one has just taken it, and soon writes its settings
            held.add(path)
            continue
        except OSError as error:
            raise DiskError(
                f"{path}: cannot be made ({error.strerror or error}); choose another place with -o"
            ) from error
        if _is_empty(path):
            return path, lock
        _unlock(lock)


def _to_go_on_with(output: Path) -> tuple[Path, int | None]:
    if output.exists() and not output.is_dir():
        raise _foreign(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        return output, _locked(output)
    except BlockingIOError:
        raise UsageError(
            f"{output}: another foveal predict is writing there; wait for it, or choose another place with -o"
        ) from None
    except OSError as error:
        raise DiskError(
            f"{output}: cannot be made ({error.strerror or error}); choose another place with -o"
        ) from error


def _is_taken(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and _is_empty(path))


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def _locked(folder: Path) -> int | None:
    """A lock that ends with the process at the latest; None where the system has none. BlockingIOError: held."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # a disk that cannot lock folders, as over a network
        os.close(handle)
        return None
    return handle


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _settings_in(folder: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return settings if isinstance(settings, dict) and {"model", "thresholds"} <= settings.keys() else None


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{path}: not a folder that foveal predict can go on with (no {SETTINGS} in it); leave out --resume, or "
        "choose another place with -o"
    )


def _readable_names(files: Sequence[str]) -> list[str]:
    """A name for each: its own without ending, with its folder's before it where another has it, too."""
    parts = [PurePosixPath(remote_path(file)) if is_remote(file) else Path(file) for file in files]
    count: dict[str, int] = {}
    for part in parts:
        count[part.stem] = count.get(part.stem, 0) + 1
    names = [
        part.stem if count[part.stem] == 1 or not part.parent.name else f"{part.parent.name}_{part.stem}"
        for part in parts
    ]
    return [_short(name) or "picture" for name in names]


def _short(name: str) -> str:
    """The end of a long name; no letter is cut."""
    content = os.fsencode(name)[-LONGEST_NAME:]
    while content and content[0] & 0xC0 == 0x80:  # the inside of a letter in UTF-8
        content = content[1:]
    return os.fsdecode(content)
