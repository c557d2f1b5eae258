"""What a reader saw beyond what training needs: where every box stands in its file, and what was refused.

Kept only inside ``full_account()``, so that training neither pays for it nor carries it to its workers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from foveal.types import Array

Meaning = Callable[[Sequence[float], tuple[int, int], tuple[int, int] | None], Sequence[float]]
"""Corners as a reader understood them, (height, width) of the picture, and those its labels state -> the corners
that were meant."""


class _Wanted(NamedTuple):
    meaning: Meaning | None


_WANTED: ContextVar[_Wanted | None] = ContextVar("full_account", default=None)


@contextmanager
def full_account(meaning: Meaning | None = None) -> Iterator[None]:
    """Records that are built inside have an ``account``, and a part without a usable box is no error.

    meaning: how every box is to be understood instead of as its reader does.
    """
    token = _WANTED.set(_Wanted(meaning))
    try:
        yield
    finally:
        _WANTED.reset(token)


@dataclass(frozen=True)
class Account:
    """The evidence of one reading. Rows are those of the records, E the boxes that were dropped or clipped."""

    places: tuple[str, ...]
    """[N] where each kept box is written: ``file:line``, or file and id."""
    pictures: Array
    """[E] int64: the picture of each dropped or clipped box."""
    corners: Array
    """[E, 4] float64: as the file has it, x1, y1, x2, y2 before ``shift``."""
    rows: Array
    """[E] int64: the box's row where it was kept, clipped; -1 where it was dropped."""
    faults: Array
    """[E] int64: which of the records' faults tells of it."""
    stated: Array
    """[P, 2] int64: height and width of each picture as its labels state them; 0 where they do not."""
    shift: tuple[float, float, float, float]
    """What the reader added to corners in the file's numbers to make them 0-based and continuous."""
    categories: dict[int, str]
    """Every class that the label file declares, by its own id; empty where the format has no such list."""
    super_categories: frozenset[str]
    urls: dict[int, str]
    """Where a picture came from, by its id, for those whose labels tell."""

    def keep(self, kept: Array) -> Account:
        """The account of records that keep only some of their boxes. kept: [N] bool."""
        places = tuple(compress(self.places, kept.tolist()))
        new_row = np.where(kept, np.cumsum(kept) - 1, -1)
        rows = np.where(self.rows >= 0, new_row[self.rows], -1) if len(new_row) else self.rows
        return replace(self, places=places, rows=rows)


@dataclass
class Notes:
    """An account while it is being written."""

    meaning: Meaning | None = None
    places: list[str] = field(default_factory=list)
    pictures: array[int] = field(default_factory=lambda: array("q"))
    corners: array[float] = field(default_factory=lambda: array("d"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    faults: array[int] = field(default_factory=lambda: array("q"))
    stated: array[int] = field(default_factory=lambda: array("q"))
    shift: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    categories: dict[int, str] = field(default_factory=dict)
    super_categories: set[str] = field(default_factory=set)
    urls: dict[int, str] = field(default_factory=dict)

    def box(self, picture: int, corners: Sequence[float], row: int, fault: int) -> None:
        """One dropped (row -1) or clipped box."""
        self.pictures.append(picture)
        self.corners.extend(map(float, corners))
        self.rows.append(row)
        self.faults.append(fault)

    def declare(self, names: Mapping[int, str], entries: Sequence[Any], images: Sequence[Any]) -> None:
        """Classes that the file declares, and what else its lists tell."""
        self.categories |= names
        for entry in entries:
            parent = entry.get("supercategory") if isinstance(entry, dict) else None
            if isinstance(parent, str) and parent.strip():
                self.super_categories.add(parent.strip())
        for image in images:
            url = image.get("coco_url") if isinstance(image, dict) else None
            if isinstance(url, str) and url and isinstance(image.get("id"), int):
                self.urls[image["id"]] = url

    def account(self, kept: Array) -> Account:
        """The account, for records that keep the boxes where ``kept`` [N] is true."""
        return Account(
            tuple(self.places),
            np.array(self.pictures, dtype=np.int64),
            np.array(self.corners, dtype=np.float64).reshape(-1, 4),
            np.array(self.rows, dtype=np.int64),
            np.array(self.faults, dtype=np.int64),
            np.array(self.stated, dtype=np.int64).reshape(-1, 2),
            self.shift,
            dict(self.categories),
            frozenset(self.super_categories),
            dict(self.urls),
        ).keep(kept)


def new_notes() -> Notes | None:
    """Notes to be taken from here on, or None where nobody asked for an account."""
    wanted = _WANTED.get()
    return None if wanted is None else Notes(wanted.meaning)
