"""One YOLO label file -> its rows, judged by themselves.

The format: ``class cx cy width height`` a line, as shares of the picture (Ultralytics, "Object detection
datasets overview"; first in AlexeyAB/darknet). A row of outline points, as for segmentation, is read as the
box around them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from foveal.data.lists import lines_of, number, read_text
from foveal.data.records import FaultKind
from foveal.errors import DataError

MAX_BYTES = 5_000_000
"""A larger file is refused unread."""
PIXELS_OVER = 2.0
"""A share above this lies further outside than the picture is wide: such numbers are pixels."""
MAX_CLASS = 10**9

Corners = tuple[float, float, float, float]


class YoloRow(NamedTuple):
    """One box."""

    line: int
    label: int
    corners: Corners
    """x1, y1, x2, y2 as shares of width and height."""
    polygon: bool
    doubt: str = ""
    """Why the numbers cannot be shares; empty: they can."""


class BadRow(NamedTuple):
    """One line that is no box, and why."""

    line: int
    kind: FaultKind
    message: str


def read_rows(path: Path, size: tuple[int, int] | None = None, keypoints: int = 0) -> list[YoloRow | BadRow]:
    """Rows of a file, without blank lines and comments (``#``).

    size: height and width of the picture, for a better message about numbers that are pixels.
    keypoints: how many numbers follow each box in a set of poses. DataError where the file cannot be read.
    """
    text = read_text(path, "label file", MAX_BYTES)
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes, so it is no text")
    return list(_rows(text, size, keypoints))


def _rows(text: str, size: tuple[int, int] | None, keypoints: int) -> Iterator[YoloRow | BadRow]:
    seen: dict[tuple[int, Corners], int] = {}
    for line, content in enumerate(lines_of(text), start=1):
        words = content.partition("#")[0].split()
        if not words:
            continue
        row = _row(line, words, size, keypoints)
        if isinstance(row, YoloRow):
            first = seen.setdefault((row.label, row.corners), line)
            if first != line:
                row = BadRow(line, "duplicate_box", f"the same box as in line {first}: dropped")
        yield row


def _row(line: int, words: list[str], size: tuple[int, int] | None, keypoints: int) -> YoloRow | BadRow:
    label = _label(words[0])
    if label is None:
        return BadRow(line, "bad_number", f"{words[0][:40]!r} is no class number{_comma(words[0])}: dropped")
    values: list[float] = []
    for word in words[1:]:
        value = number(word)
        if value is None:
            return BadRow(line, "bad_number", f"{word[:40]!r} is no number{_comma(word)}: dropped")
        values.append(value)
    polygon = False
    if keypoints and len(values) == 4 + keypoints:
        values = values[:4]
    elif len(values) >= 6 and len(values) % 2 == 0:
        polygon = True
    elif len(values) != 4:
        return BadRow(line, "bad_number", f"{_count(len(values))}: dropped")
    if not all(map(math.isfinite, values)):
        return BadRow(line, "bad_number", "a number that is not finite: dropped")
    doubt = _pixels(values, size, polygon) if max(values) > PIXELS_OVER else ""
    if polygon and doubt:
        return BadRow(line, "bad_number", f"{doubt}: dropped")
    if polygon:
        xs, ys = values[0::2], values[1::2]
        corners: Corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        cx, cy, width, height = values
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    return YoloRow(line, label, corners, polygon, doubt)


def _label(word: str) -> int | None:
    """A class number, also written 3.0; None for anything else."""
    value = number(word)
    return int(value) if value is not None and value.is_integer() and abs(value) <= MAX_CLASS else None


def _comma(word: str) -> str:
    return "; numbers have a point and are parted by blanks, not by commas" if "," in word else ""


def _count(count: int) -> str:
    text = f"{count} numbers after the class, needed are 4 (cx cy width height) or 3 or more points"
    return f"{text}; 5 are what a detector writes, its confidence last" if count == 5 else text


def _pixels(values: list[float], size: tuple[int, int] | None, polygon: bool) -> str:
    """What numbers far over 1 probably are."""
    text = f"numbers up to {max(values):.6g} look like pixels, and YOLO's are shares of the picture (0 to 1)"
    if size is None or polygon:
        return text
    height, width = size
    a, b, c, d = values
    meanings = {
        "x1 y1 x2 y2": 0 <= a < c <= width and 0 <= b < d <= height,
        "cx cy width height": c <= 2 * min(a, width - a) and d <= 2 * min(b, height - b) and min(c, d) > 0,
        "x y width height": min(a, b) >= 0 and min(c, d) > 0 and a + c <= width and b + d <= height,
    }
    fits = [name for name, fit in meanings.items() if fit]
    return f"{text}; in pixels of {width} x {height} they fit as {' or as '.join(fits) or 'nothing'}"
