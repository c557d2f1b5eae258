"""A COCO JSON file's bytes -> its lists, of whatever content, and its scalars."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from foveal.data.lists import read_content
from foveal.errors import DataError

LISTS = ("images", "annotations", "categories")
OUTLINES = ("segmentation", "keypoints")
_ID_LIMIT = 2**63


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For the reading of many small objects without rings among them: each collection would visit them all."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class CocoFile(NamedTuple):
    """The three lists of a ground-truth file, their entries unchecked."""

    images: list[Any]
    annotations: list[Any]
    categories: list[Any]


def json_text(path: Path) -> str:
    """The file as text, in whichever Unicode encoding. DataError where it is none."""
    content = read_content(path, "file")
    try:
        return content.decode(json.detect_encoding(content), "surrogatepass")
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {' '.join(str(error).split())}") from error


def load_coco(path: Path) -> CocoFile:
    """Read the file. DataError, with the line where there is one, where it does not hold three lists."""
    text = json_text(path)
    try:
        content = json.loads(text, object_hook=_without_outlines)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise DataError(f"{path}: not COCO: brackets nested too deep") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit in memory") from error
    except ValueError as error:  # A number of thousands of digits.
        raise DataError(f"{path}: not JSON: {' '.join(str(error).split())}") from error
    if isinstance(content, list):
        raise DataError(f"{path}: holds a list, as COCO results do; needed is a file of ground truth")
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}; COCO ground truth is an object")
    for key in LISTS:
        if not isinstance(content.get(key), list):
            found = f"is a {type(content[key]).__name__}" if key in content else "is missing"
            raise DataError(f"{path}: {key!r} {found}; COCO ground truth has a list there")
    return CocoFile(*(content[key] for key in LISTS))


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    """An object as soon as it is read, without what no box needs: the outlines fill most of a file."""
    for key in OUTLINES:
        entry.pop(key, None)
    return entry


def whole(value: Any) -> int | None:
    """A whole number that fits 64 bits, also written 3.0 or "3"; None for anything else."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if type(value) is int and -_ID_LIMIT <= value < _ID_LIMIT - 1 else None


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number; true and false are not."""
    return type(value) is float or type(value) is int


def as_float(value: float) -> float:
    """As float; a whole number beyond its range is infinite, which the box check refuses."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def is_text(name: str) -> bool:
    """Whether the name can be written to a file: JSON can hold half a surrogate pair."""
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)


def short(value: Any) -> str:
    """A value for a message: in one short line, whatever it is."""
    text = ascii(value) if not isinstance(value, list | dict) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
