"""Writing what a person keeps: whole or not at all, through a full disk, a crash and a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

from foveal.errors import DiskError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], keep_as: Path | None = None) -> None:
    """Write a file through a temporary one beside it: fsync, then rename. Folders on the way are made.

    write: puts the content into the binary stream it is given.
    keep_as: where the file that was there before goes (by a rename too), instead of being replaced.
    DiskError, with the reason, where it cannot be written; what was there before is then intact, and whatever
    else ends the writing, no stray file is left. One writer at a time per path.
    """
    # The name is fixed, so that a killed writer leaves one such file at most and the next takes it over.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError(None, "a folder or a device is in its place")
        with open(temporary, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if keep_as is not None and path.exists():
            os.replace(path, keep_as)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # torch's zip writer reports a full disk as a RuntimeError of its own, with the OSError as context.
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, OSError):
            raise
        raise _disk_error(path, cause) from error
    _sync_folder(path.parent)


def write_bytes(path: Path, content: bytes | bytearray) -> None:
    """``write_atomically`` of bytes."""
    write_atomically(path, lambda stream: stream.write(content))


def write_text(path: Path, text: str) -> None:
    """``write_atomically`` of UTF-8 text."""
    write_bytes(path, text.encode())


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, all of it or nothing. The folder and the file are made where they are not there.

    DiskError as above. For logs: what was added survives a kill, but may not survive a power cut.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as stream:
            length = stream.seek(0, os.SEEK_END)
            try:
                while content:
                    content = content[stream.write(content) :]
            except BaseException:
                with suppress(OSError):
                    stream.truncate(length)
                raise
    except OSError as error:
        raise _disk_error(path, error) from error


def create(path: Path) -> bool:
    """Make an empty file, and the folders on the way; False where there is one: of several, one makes it.

    DiskError as above.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb"):
            return True
    except FileExistsError:
        return False
    except OSError as error:
        raise _disk_error(path, error) from error


def _disk_error(path: Path, cause: OSError) -> DiskError:
    return DiskError(
        f"{path}: cannot be written ({cause.strerror or cause}); free some space or choose another place; "
        "what was there before is intact"
    )


def _sync_folder(folder: Path) -> None:
    """Make the renames last through a power cut, where the system can open a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def free_name(path: Path, taken: Callable[[Path], bool] = Path.exists) -> Path:
    """The first of ``numbered`` that is free, so that nothing that is there is written over."""
    return next(name for name in numbered(path) if not taken(name))


def numbered(path: Path) -> Iterator[Path]:
    """The path itself, and with -2, -3, ... behind it."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
