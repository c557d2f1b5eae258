"""What a section of the page is made of; one template knows how each of them looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from foveal.diagnosis.report.charts.svg import Figure

MISSING = "\u2013"


class Column(NamedTuple):
    """Head of a table's column."""

    label: str
    numeric: bool = True
    run: int | None = None
    """The run it is about: its colour stands beside the label."""
    tip: str = ""


class Cell(NamedTuple):
    """Content of a table, where it is more than a text."""

    text: str
    strong: bool = False
    note: str = ""
    """Smaller, beside the text: an interval, a remark."""
    code: bool = False
    run: int | None = None
    """The run it names: its colour stands before the text."""


Row = Sequence[str | Cell]
"""A line of a table."""


class Table(NamedTuple):
    """Rows under heads; the first cell of a row is its head."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    fold_after: int = 30
    """Longer tables are folded away behind their first rows."""
    kind: Literal["table"] = "table"


class Text(NamedTuple):
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


class Note(NamedTuple):
    """A remark with a mark of its own."""

    text: str
    level: Literal["absent", "warning", "tip", "good"] = "absent"
    command: str = ""
    """What to type, where that helps."""
    kind: Literal["note"] = "note"


class Figures(NamedTuple):
    """Charts beside one another, as many as fit."""

    figures: Sequence[Figure]
    kind: Literal["figures"] = "figures"


class Facts(NamedTuple):
    """Names and values."""

    rows: Sequence[tuple[str, str]]
    kind: Literal["facts"] = "facts"


class Picture(NamedTuple):
    """A picture inside the page."""

    source: str
    """``data:image/jpeg;base64,...``"""
    width: int
    height: int
    words: str


class Pictures(NamedTuple):
    """A gallery."""

    title: str
    items: Sequence[Picture]
    note: str = ""
    kind: Literal["pictures"] = "pictures"


class CodeLine(NamedTuple):
    """One line of a listing."""

    text: str
    marked: bool = False


class Code(NamedTuple):
    """A listing."""

    lines: Sequence[CodeLine]
    kind: Literal["code"] = "code"


class Heading(NamedTuple):
    """A heading inside a section; run: its colour stands beside it."""

    text: str
    run: int | None = None
    kind: Literal["heading"] = "heading"


class Fold(NamedTuple):
    """Blocks that a reader opens."""

    title: str
    blocks: Sequence[Block]
    open: bool = False
    kind: Literal["fold"] = "fold"


class Item(NamedTuple):
    """One remark of a list."""

    text: str
    detail: str = ""
    """What to do about it."""
    place: str = ""
    """Where or when."""


class Items(NamedTuple):
    """A list of remarks."""

    items: Sequence[Item]
    kind: Literal["items"] = "items"


class Beside(NamedTuple):
    """Blocks next to each other where there is room."""

    blocks: Sequence[Block]
    kind: Literal["beside"] = "beside"


Block = Table | Text | Note | Figures | Facts | Pictures | Code | Heading | Fold | Items | Beside


class Section(NamedTuple):
    """One part of the page, with an entry in its table of contents."""

    id: str
    title: str
    lead: str
    """What it tells, in one line for somebody new to the field."""
    blocks: Sequence[Block]


def sentence(text: str) -> str:
    """Text with a capital at its start and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def size_of(width: object, height: object) -> str:
    """Pixels of a picture, width first."""
    return f"{width} \u00d7 {height}"


def points(value: float | None, digits: int = 1) -> str:
    """A share as points of a hundred: 0.543 is 54.3."""
    return MISSING if value is None else f"{100 * value:.{digits}f}"


def range_words(span: tuple[float, float] | None) -> str:
    """An interval in points: ``51.2 to 57.0``; empty without one."""
    return "" if span is None else f"{100 * span[0]:.1f} to {100 * span[1]:.1f}"


def size_words(size: int) -> str:
    """Bytes for a person."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} bytes"


def time_words(seconds: float) -> str:
    """A duration for a person."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
