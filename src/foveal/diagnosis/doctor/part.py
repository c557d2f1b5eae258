"""A part of a data set under examination, and where in it a finding lies."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveal.config.schema import Source
from foveal.data.records import Records
from foveal.diagnosis.finding import Finding
from foveal.types import Array


class Part:
    """One split: its records, read with an account, and columns that several rules need."""

    def __init__(self, name: str, records: Records, source: Source | None = None, unusable: str = "") -> None:
        self.name = name
        self.records = records
        self.source = source
        self.unusable = unusable
        """Why nothing can be learned from it; empty: something can."""

    @property
    def trains(self) -> bool:
        """Whether a detector learns from this part."""
        return self.name in ("train", "all", "trainval")

    @property
    def measures(self) -> bool:
        """Whether a detector is measured on this part."""
        return self.name in ("val", "test")

    @cached_property
    def picture_of(self) -> Array:
        """[N] the picture of each box."""
        return np.repeat(np.arange(len(self.records)), np.diff(self.records.offsets))

    @cached_property
    def sides(self) -> Array:
        """[N, 2] width and height of each box in its picture's pixels."""
        boxes = self.records.boxes
        sides: Array = boxes[:, 2:] - boxes[:, :2]
        return sides

    @cached_property
    def box_picture_size(self) -> Array:
        """[N, 2] width and height of the picture of each box."""
        return np.stack([self.records.widths, self.records.heights], axis=1)[self.picture_of]

    @cached_property
    def boxes_per_picture(self) -> Array:
        """[P] boxes of each picture, crowds counted."""
        return np.diff(self.records.offsets)

    def class_name(self, row: int) -> str:
        """Name of a box's class."""
        return self.records.classes.names[int(self.records.labels[row])]

    def place(self, row: int) -> str:
        """Where a kept box is written; its picture and number in it, where nobody noted that."""
        account = self.records.account
        if account is not None and len(account.places) == len(self.records.labels):
            return account.places[row]
        picture = int(self.picture_of[row])
        return f"{self.picture(picture)}: box {row - int(self.records.offsets[picture]) + 1}"

    def picture(self, picture: int) -> str:
        """Path of a picture, for a message."""
        return str(self.records.path(picture))


class Spot(NamedTuple):
    """The picture and the box of a finding, so that it can be shown."""

    part: str
    picture: int
    box: tuple[float, float, float, float] | None = None


class Hit(NamedTuple):
    """A finding, and where to look for it if it is in a picture."""

    finding: Finding
    part: str = ""
    """Empty: between the parts, or the set as a whole."""
    spot: Spot | None = None
    beside: Spot | None = None
    """The other picture, where the finding is about two."""


def box_spot(part: Part, row: int) -> Spot:
    """The spot of a kept box."""
    x1, y1, x2, y2 = part.records.boxes[row].tolist()
    return Spot(part.name, int(part.picture_of[row]), (x1, y1, x2, y2))


def folder_of(parts: list[Part]) -> Path:
    """Deepest folder that holds the pictures and the labels of all parts."""
    paths = [str(part.records.root.absolute()) for part in parts]
    for part in parts:
        labels = getattr(part.source, "annotations", None)
        paths += [str(Path(labels).absolute().parent)] if labels else []
    return Path(os.path.commonpath(paths))
