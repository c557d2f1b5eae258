"""Label files and the small lists beside them (of pictures, of stems, of class names) -> bytes, text, lines."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from foveal.errors import DataError

MAX_LIST_BYTES = 500_000_000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks, as spreadsheets write them."""


def read_content(path: Path, what: str, max_bytes: int | None = None) -> bytes:
    """A file whole. DataError, one line, where that cannot be.

    what: how a message calls the file. A pipe or a device is refused unread, since it might never end, and so is
    a file over ``max_bytes``.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: cannot be read: no regular file, so no {what}")
        with path.open("rb") as file:
            content = file.read(-1 if max_bytes is None else max_bytes + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such {what}") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit in memory") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}") from error
    if max_bytes is not None and len(content) > max_bytes:
        raise DataError(f"{path}: over the limit of {max_bytes:,} bytes for a {what}")
    return content


def read_text(path: Path, what: str, max_bytes: int = MAX_LIST_BYTES) -> str:
    """A UTF-8 file, with or without a byte order mark, or UTF-16 with one. DataError as ``read_content``."""
    content = read_content(path, what, max_bytes)
    try:
        return content.decode("utf-16" if content[:2] in _UTF_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def lines_of(text: str) -> list[str]:
    """Lines as an editor counts them: LF, CR LF and CR end one, and no other sign, which a name may hold."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a list that are not blank, each with its place ``file:line``."""
    lines = enumerate(lines_of(read_text(path, "split file")), start=1)
    return [(line.strip(), f"{path}:{number}") for number, line in lines if line.strip()]


def number(text: str) -> float | None:
    """A number as label files write it, with a point; None for anything else, also for Python's ``1_000``."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
