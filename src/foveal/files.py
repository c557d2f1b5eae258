"""Writing what a person keeps: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from foveal.errors import DiskError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it, so that an old one survives any fault.

    Folders on the way are made. DiskError, with the reason, where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DiskError(
            f"{path}: cannot write: {error.strerror or error}; free space or choose another place"
        ) from error


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8 text."""
    write_bytes(path, text.encode())


def free_name(path: Path, taken: Callable[[Path], bool] = Path.exists) -> Path:
    """The path itself, or with -2, -3, ... behind it, so that nothing that is there is written over."""
    if not taken(path):
        return path
    number = 2
    while taken(path.with_name(f"{path.stem}-{number}{path.suffix}")):
        number += 1
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
