"""Small text files beside the labels: lists of pictures, of stems, of class names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from foveal.errors import DataError

MAX_LIST_BYTES = 500_000_000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks, as spreadsheets write them."""


def read_text(path: Path, what: str, max_bytes: int = MAX_LIST_BYTES) -> str:
    """A UTF-8 file, with or without a byte order mark, or UTF-16 with one. DataError, one line, otherwise.

    what: how a message calls the file. A pipe or a device is refused unread, as is a file over ``max_bytes``.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: no regular file, so no {what}")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such {what}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}") from error
    if len(content) > max_bytes:
        raise DataError(f"{path}: over the limit of {max_bytes:,} bytes for a {what}")
    try:
        return content.decode("utf-16" if content[:2] in _UTF_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a list that are not blank, each with its place ``file:line``."""
    lines = enumerate(read_text(path, "split file").splitlines(), start=1)
    return [(line.strip(), f"{path}:{number}") for number, line in lines if line.strip()]
