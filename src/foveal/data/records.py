"""A data set in memory: columns, not a list of dicts, so that a million boxes cost little and fork well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from foveal.data.account import Account
from foveal.data.decode import read_picture
from foveal.types import Array, ClassNames, GroundTruth

FaultKind = Literal[
    "no_label_file",
    "empty_labels",
    "only_crowd",
    "crowd",
    "zero_size",
    "outside",
    "clipped",
    "bad_number",
    "unknown_class",
    "unreadable_picture",
    "missing_picture",
    "unsafe_path",
    "unreadable_labels",
    "size_mismatch",
    "rotated_labels",
    "duplicate_id",
    "orphan_label",
    "moved_path",
    "class_list",
    "polygon",
    "duplicate_box",
    "flagged",
]
"""What a reader can find. Every occurrence is counted and kept with its place; none is silent."""


class Fault(NamedTuple):
    """One thing a reader noticed."""

    kind: FaultKind
    where: str
    """``file:line``, or the file and the id of the annotation."""
    message: str
    """What is wrong and what was done about it, in one line."""


class Rows(NamedTuple):
    """One picture's labels."""

    boxes: Array
    """[M, 4] float64 xyxy, original upright pixels."""
    labels: Array
    crowd: Array


@dataclass(frozen=True)
class Records:
    """Pictures and boxes of one split. Picture p's boxes are rows ``offsets[p]:offsets[p + 1]``."""

    root: Path
    """Folder that holds the pictures; nothing outside it is read."""
    files: Array
    """[P] numpy unicode array: picture paths relative to ``root``, posix style."""
    image_ids: Array
    """[P] int64: the file's own ids (COCO), or 1..P in file order."""
    heights: Array
    widths: Array
    """[P] int64: size of the picture as a person sees it (after EXIF orientation)."""
    offsets: Array
    """[P + 1] int64."""
    boxes: Array
    """[N, 4] float64 xyxy, original upright pixels, 0-based continuous."""
    labels: Array
    """[N] int64 class index."""
    crowd: Array
    """[N] bool."""
    area: Array
    """[N] float64."""
    classes: ClassNames
    faults: tuple[Fault, ...] = field(default=())
    account: Account | None = field(default=None, repr=False)
    """Where every box is written, and what was refused; only of records that were read for a diagnosis."""

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, picture: int) -> Rows:
        """Labels of one picture, by its place in the split."""
        span = slice(self.offsets[picture], self.offsets[picture + 1])
        return Rows(self.boxes[span], self.labels[span], self.crowd[span])

    def path(self, picture: int) -> Path:
        """Full path of one picture."""
        return self.root / str(self.files[picture])

    def load(self, picture: int) -> Array:
        """[H, W, 3] uint8 RGB: one picture, upright. DataError where it cannot be decoded.

        A set whose pictures are not files says here where they come from.
        """
        return read_picture(self.path(picture))

    def fault_counts(self) -> dict[str, int]:
        """How often each kind of fault occurred."""
        return dict(Counter(fault.kind for fault in self.faults))

    def boxes_per_class(self) -> list[int]:
        """How many boxes each class has, crowds not counted."""
        counts: list[int] = class_counts(self).tolist()
        return counts

    def ground_truth(self) -> GroundTruth:
        """The labels alone, for the evaluator."""
        return GroundTruth(
            self.image_ids,
            self.heights,
            self.widths,
            self.offsets,
            self.boxes,
            self.labels,
            self.crowd,
            self.area,
            self.classes,
        )


def with_classes(records: Records, names: Sequence[str]) -> Records:
    """The same pictures with the classes ``names``, in that order; boxes of others are dropped and counted.

    A name that the records do not have gets the next free id.
    """
    old = records.classes
    place = {name: label for label, name in enumerate(names)}
    wanted = np.array([place.get(name, -1) for name in old.names], dtype=np.int64)
    labels = wanted[records.labels]
    keep = labels >= 0
    kept_before = np.concatenate(([0], np.cumsum(keep)))
    gone = np.flatnonzero(~keep)
    pictures = np.searchsorted(records.offsets, gone, side="right") - 1
    dropped = tuple(
        Fault("unknown_class", str(file), f"class {old.names[label]!r} is not wanted: dropped")
        for file, label in zip(records.files[pictures], records.labels[gone], strict=True)
    )
    known = dict(zip(old.names, old.ids, strict=True))
    free = count(max(old.ids, default=0) + 1)
    ids = tuple(known[name] if name in known else next(free) for name in names)
    return replace(
        records,
        offsets=kept_before[records.offsets],
        boxes=records.boxes[keep],
        labels=labels[keep],
        crowd=records.crowd[keep],
        area=records.area[keep],
        classes=ClassNames(tuple(names), ids),
        faults=records.faults + dropped,
        account=None if records.account is None else records.account.keep(keep),
    )


def class_counts(records: Records) -> Array:
    """[K] number of non-crowd boxes per class."""
    return np.bincount(records.labels[~records.crowd], minlength=len(records.classes.names))
