"""What every reader shares: checked pictures, checked boxes, and a count of everything that was not right.

A reader knows its file format; this room sees to the pictures, and ``box_rule`` knows what a usable box is.
Pictures go in one after the other, each followed by its boxes, and come out as ``Records``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foveal.data.box_rule import UNMOVED, judge_box
from foveal.data.decode import PictureSize, picture_size
from foveal.data.inside import find_file, mending, printable, relative_to
from foveal.data.outcome import Outcome
from foveal.data.records import FaultKind, Records
from foveal.data.table import UNKNOWN as UNKNOWN
from foveal.errors import DataError
from foveal.types import ClassNames


class RecordsBuilder:
    """Collects one split.

    root: folder of the pictures; a picture outside it, also by a link, is refused unread. source: the label file
    or folder, for messages. strict: ``build`` raises where a picture or its labels cannot be read, instead of
    counting.
    """

    def __init__(self, root: Path, source: Path, strict: bool = False) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of pictures (needed by {source})")
        self.root = root
        self.source = source
        self._outcome = Outcome(root, source, strict)
        self._table, self._notes = self._outcome.table, self._outcome.notes
        self._real_root = os.path.realpath(root)
        self._known: set[str] = set()
        self._size: PictureSize | None = None
        self._rotated = False
        self._stated: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self._table.files)

    def fault(self, kind: FaultKind, where: str, message: str) -> None:
        """Count one thing that was noticed, with its place; both become one line."""
        self._outcome.fault(kind, where, message)

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
        names = list(names)
        found = find_file(names, self._real_root)
        if found is not None:
            return found
        outside = next((name for name in names if relative_to(name, self._real_root) is None), None)
        if outside is not None:
            told = f"picture {outside!r} lies outside {self.root}: left out"
            self.fault("unsafe_path", where, told + mending(os.path.join(self._real_root, outside)))
        else:
            self.fault("missing_picture", where, f"no picture {names[0]!r} in {self.root}: left out")
        return None

    def add_picture(self, relative: str, where: str, image_id: int, declared: tuple[int, int] | None) -> bool:
        """Read a located picture's header and make it the current one; False, counted, where that fails.

        declared: (height, width) in the label file. Where that fits the picture as stored and not as it is
        seen, the boxes that follow are turned with the picture.
        """
        try:
            relative.encode()
            size = picture_size(self.root / relative)
        except UnicodeEncodeError:  # No list, no report and no other program's labels could name it.
            told = f"the name of picture {relative!r} is not UTF-8: left out; rename it"
            self.fault("unreadable_picture", where, told)
            return False
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
        shift: Sequence[float] = UNMOVED,
    ) -> None:
        """Check one box of the current picture and keep it, clipped, or count why not.

        corners: x1, y1, x2, y2 in the file's own numbers, on which zero size is judged; ``shift`` is added
        after that. label: provisional class, the row of ``build``'s map. area: the file's, if it has one.
        """
        assert self._size is not None, "add_picture comes first"
        if self._notes is not None:
            corners = self._note(corners, shift)
        kept, fault, message = judge_box(corners, self._size, shift, self._rotated)
        if fault is not None:
            self._refuse(fault, where, message, corners, kept is not None)
        if kept is None:
            return
        if crowd:
            self.fault("crowd", where, "crowd or difficult: kept as a region that training ignores")
        if area is None or not (math.isfinite(area) and area >= 0):
            area = (kept[2] - kept[0]) * (kept[3] - kept[1])
        self._table.add_box(kept, label, crowd, area)
        if self._notes is not None:
            self._notes.places.append(printable(where))

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
            self._notes.box(len(self) - 1, corners, row, len(self._outcome.faults) - 1)

    # ------------------------------------------------------------ result

    def finish(
        self,
        names: Sequence[str],
        all_wanted: bool,
        order: Callable[[str], Any] | None = None,
        ids: Callable[[Sequence[str]], Iterable[int]] | None = None,
    ) -> Records:
        """``build`` with the classes that a person named, or else with those that have a box that is no crowd.

        names: of the provisional labels. all_wanted: every one is a class, in this order; otherwise those with a
        box are, sorted by ``order`` where it is given. ids: of the classes; default: 1..K. DataError as ``build``,
        and where no class has a box.
        """
        return self._outcome.finish(names, all_wanted, order, ids)

    def build(self, classes: ClassNames, final: Sequence[int]) -> Records:
        """The records, with provisional label p renamed to ``final[p]``; UNKNOWN drops the box, counted.

        DataError where no picture is left, or, when strict, where one could not be read.
        """
        return self._outcome.build(classes, final)
