"""What every reader shares: checked pictures, checked boxes, and a count of everything that was not right.

A reader knows its file format; this room knows what a usable box is. Pictures go in one after the other,
each followed by its boxes, and come out as ``Records``.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from foveal.data.account import new_notes
from foveal.data.decode import PictureSize, picture_size, rotate_boxes
from foveal.data.inside import relative_to
from foveal.data.records import Fault, FaultKind, Records
from foveal.data.table import UNKNOWN as UNKNOWN
from foveal.data.table import RecordsTable
from foveal.errors import DataError
from foveal.types import ClassNames

ROUNDING = 0.05
"""Pixels by which a box may leave its picture without being counted: label tools round to one decimal."""

FATAL_WHEN_STRICT: frozenset[FaultKind] = frozenset(
    {"unreadable_picture", "missing_picture", "unsafe_path", "unreadable_labels"}
)


class NothingToLearnError(DataError):
    """Labels without a usable box or picture, with all that was found in them."""

    def __init__(self, message: str, records: Records) -> None:
        super().__init__(message)
        self.records = records
        """Without boxes and classes, perhaps without pictures."""


class RecordsBuilder:
    """Collects one split.

    root: folder of the pictures; a picture outside it, also by a link, is refused unread.
    source: the label file or folder, for messages. strict: ``build`` raises where a picture or its labels
    cannot be read, instead of counting.
    """

    def __init__(self, root: Path, source: Path, strict: bool = False) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of pictures (needed by {source})")
        self.root = root
        self.source = source
        self.strict = strict
        self._real_root = os.path.realpath(root)
        self._faults: list[Fault] = []
        self._known: set[str] = set()
        self._table = RecordsTable()
        self._size: PictureSize | None = None
        self._rotated = False
        self._stated: tuple[int, int] | None = None
        self._notes = new_notes()

    def __len__(self) -> int:
        return len(self._table.files)

    def fault(self, kind: FaultKind, where: str, message: str) -> None:
        """Count one thing that was noticed, with its place; the message becomes one line."""
        self._faults.append(Fault(kind, where, " ".join(message.split())))

    def declare(
        self, names: Mapping[int, str], entries: Sequence[Any] = (), images: Sequence[Any] = ()
    ) -> None:
        """Every class the labels list or name, used or not, for a diagnosis; may be left out.

        names: by the file's own id, or numbered where the format has none.

        entries, images: COCO's lists of categories and pictures, unchecked.
        """
        if self._notes is not None:
            self._notes.declare(names, entries, images)

    # ------------------------------------------------------------ pictures

    def locate(self, names: Iterable[str], where: str) -> str | None:
        """The first of the names that is a file inside the root, relative to it; None, counted, otherwise."""
        outside = None
        first = None
        for name in names:
            first = first if first is not None else name
            relative = relative_to(name, self._real_root)
            if relative is None:
                outside = name
            elif os.path.isfile(os.path.join(self._real_root, relative)):
                return relative
        if outside is not None:
            self.fault("unsafe_path", where, f"picture {outside!r} lies outside {self.root}: left out")
        else:
            self.fault("missing_picture", where, f"no picture {first!r} in {self.root}: left out")
        return None

    def add_picture(self, relative: str, where: str, image_id: int, declared: tuple[int, int] | None) -> bool:
        """Read a located picture's header and make it the current one; False, counted, where that fails.

        declared: (height, width) in the label file. Where that fits the picture as stored and not as it is
        seen, the boxes that follow are turned with the picture.
        """
        try:
            size = picture_size(self.root / relative)
        except DataError as error:
            self.fault("unreadable_picture", where, f"{error}: left out")
            return False
        if relative in self._known:
            self.fault("duplicate_id", where, f"picture {relative!r} is listed again: kept")
        self._known.add(relative)
        self._rotated = False
        if declared is not None and declared != (size.height, size.width):
            if declared == (size.stored_height, size.stored_width):
                self._rotated = True
                turned = (
                    f"labels fit {relative!r} before its EXIF orientation {size.orientation}: turned with it"
                )
                self.fault("rotated_labels", where, turned)
            else:
                sizes = f"{declared[1]} x {declared[0]}, but the picture is {size.width} x {size.height}"
                self.fault("size_mismatch", where, f"labels say {sizes}: the picture's own size is used")
        self._size = size
        self._stated = declared
        if self._notes is not None:
            self._notes.stated.extend(declared or (0, 0))
        self._table.add_picture(Path(relative).as_posix(), image_id, size.height, size.width)
        return True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the current picture, upright; labels that are shares need it."""
        assert self._size is not None, "add_picture comes first"
        return self._size.height, self._size.width

    # ------------------------------------------------------------ boxes

    def add_box(
        self,
        corners: Sequence[float],
        label: int,
        where: str,
        *,
        crowd: bool = False,
        area: float | None = None,
        shift: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        """Check one box of the current picture and keep it, clipped, or count why not.

        corners: x1, y1, x2, y2 in the file's own numbers, on which zero size is judged; ``shift`` is added
        after that. label: provisional class, the row of ``build``'s map. area: the file's, if it has one.
        """
        assert self._size is not None, "add_picture comes first"
        if self._notes is not None:
            corners = self._note(corners, shift)
        if not all(map(math.isfinite, corners)):
            self._refuse("bad_number", where, f"box {_numbers(corners)} is not finite: dropped", corners)
            return
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            why = f"box {_numbers(corners)} has no width or no height: dropped"
            self._refuse("zero_size", where, why, corners)
            return
        box = tuple(map(float.__add__, map(float, corners), shift))
        if self._rotated:
            size = self._size
            turned = rotate_boxes(np.array(box), size.orientation, size.stored_height, size.stored_width)
            box = tuple(turned[0].tolist())
        kept = self._clip(box, where, corners)
        if kept is None:
            return
        if crowd:
            self.fault("crowd", where, "crowd or difficult: kept as a region that training ignores")
        if area is None or not (math.isfinite(area) and area >= 0):
            area = (kept[2] - kept[0]) * (kept[3] - kept[1])
        self._table.add_box(kept, label, crowd, area)
        if self._notes is not None:
            self._notes.places.append(where)

    def doubt_box(
        self, corners: Sequence[float], label: int, where: str, kind: FaultKind, message: str
    ) -> None:
        """A box of the current picture whose numbers cannot be meant as they are read: refused and counted.

        Where a diagnosis has found out how the numbers are meant, it is added like any other.
        """
        if self._notes is None or self._notes.meaning is None:
            self._refuse(kind, where, message, corners)
        else:
            self.add_box(corners, label, where)

    def _note(self, corners: Sequence[float], shift: Sequence[float]) -> Sequence[float]:
        """The corners as they are to be understood, for a diagnosis."""
        assert self._notes is not None
        assert self._size is not None
        self._notes.shift = (shift[0], shift[1], shift[2], shift[3])
        if self._notes.meaning is None:
            return corners
        return self._notes.meaning(corners, (self._size.height, self._size.width), self._stated)

    def _refuse(
        self, kind: FaultKind, where: str, message: str, corners: Sequence[float], kept: bool = False
    ) -> None:
        """Count a box that is dropped, or clipped where ``kept``."""
        self.fault(kind, where, message)
        if self._notes is not None:
            row = len(self._table.labels) if kept else -1
            self._notes.box(len(self) - 1, corners, row, len(self._faults) - 1)

    def _clip(
        self, box: Sequence[float], where: str, corners: Sequence[float]
    ) -> tuple[float, float, float, float] | None:
        assert self._size is not None
        height, width = self._size.height, self._size.width
        x1, y1 = max(box[0], 0.0), max(box[1], 0.0)
        x2, y2 = min(box[2], float(width)), min(box[3], float(height))
        if x2 <= x1 or y2 <= y1:
            why = f"box {_numbers(box)} lies outside {width} x {height}: dropped"
            self._refuse("outside", where, why, corners)
            return None
        excess = max(x1 - box[0], y1 - box[1], box[2] - x2, box[3] - y2)
        if excess > ROUNDING:
            why = f"box {_numbers(box)} leaves {width} x {height} by {excess:.4g} px: clipped"
            self._refuse("clipped", where, why, corners, kept=True)
        return x1, y1, x2, y2

    # ------------------------------------------------------------ result

    def used(self) -> set[int]:
        """Provisional labels that have at least one kept box that is no crowd."""
        return self._table.used()

    def build(self, classes: ClassNames, final: Sequence[int]) -> Records:
        """The records, with provisional label p renamed to ``final[p]``; UNKNOWN drops the box, counted.

        DataError where no picture is left, or, when strict, where one could not be read.
        """
        self._raise_if_strict()
        self._raise_if_empty()
        return self._records(classes, final)

    def _records(self, classes: ClassNames, final: Sequence[int]) -> Records:
        for file in self._table.lost(final):
            why = "box of a class that has only crowd boxes: dropped"
            self.fault("unknown_class", f"{self.source}: {file}", why)
        for file in self._table.only_crowd(final):
            self.fault("only_crowd", file, "every box is a crowd: background but for those")
        return self._table.records(self.root, classes, final, self._faults, self._notes)

    def _raise_if_strict(self) -> None:
        fatal = [fault for fault in self._faults if fault.kind in FATAL_WHEN_STRICT] if self.strict else []
        if fatal:
            first = f"{fatal[0].where}: {fatal[0].message}"
            raise DataError(f"{self.source}: strict, and {len(fatal)} cannot be read; first: {first}")

    def _summary(self) -> str:
        """Counts and the first serious fault, for a message about an unusable data set."""
        if not self._faults:
            return ""
        counts = Counter(fault.kind for fault in self._faults)
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        return f" ({listed}; first: {self._faults[0].where}: {self._faults[0].message})"

    def raise_no_class(self) -> NoReturn:
        """Raise the DataError for labels that leave no class to learn."""
        self._raise_if_strict()
        self._raise_if_empty()
        self._raise_nothing("no usable box, so there is nothing to learn")

    def _raise_if_empty(self) -> None:
        if not len(self):
            self._raise_nothing(f"no picture to work with in {self.root}")

    def _raise_nothing(self, what: str) -> NoReturn:
        message = f"{self.source}: {what}{self._summary()}"
        if self._notes is None:
            raise DataError(message)
        labels = max(self._table.labels, default=-1) + 1
        raise NothingToLearnError(message, self._records(ClassNames((), ()), [UNKNOWN] * labels))


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in values) + "]"
