"""Records in the making: pictures and their boxes, appended one after the other, as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from foveal.data.account import Notes
from foveal.data.records import Fault, Records
from foveal.types import Array, ClassNames

UNKNOWN = -1
"""Provisional label of a box whose class is not among the wanted ones."""


class RecordsTable:
    """Columns that grow; a box belongs to the picture that was added last."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.labels = array("q")
        self.crowd = array("b")
        self._pictures = {name: array("q") for name in ("image_ids", "heights", "widths")}
        self._offsets = array("q", [0])
        self._boxes = array("d")
        self._area = array("d")

    def add_picture(self, file: str, image_id: int, height: int, width: int) -> None:
        """The next picture, without boxes yet."""
        self.files.append(file)
        for column, value in zip(self._pictures.values(), (image_id, height, width), strict=True):
            column.append(value)
        self._offsets.append(len(self.labels))

    def add_box(self, box: Sequence[float], label: int, crowd: bool, area: float) -> None:
        """A box of the last picture: xyxy, inside of it. label: provisional class."""
        self._boxes.extend(box)
        self.labels.append(label)
        self.crowd.append(crowd)
        self._area.append(area)
        self._offsets[-1] = len(self.labels)

    def used(self) -> set[int]:
        """Provisional labels that have at least one box that is no crowd."""
        return set(np.array(self.labels)[np.array(self.crowd) == 0].tolist())

    def lost(self, final: Sequence[int]) -> Iterator[str]:
        """The file of each box whose class is not wanted; final: as for ``records``."""
        rows = np.flatnonzero(self._final(final) == UNKNOWN)
        for picture in np.searchsorted(np.array(self._offsets), rows, side="right") - 1:
            yield self.files[picture]

    def only_crowd(self, final: Sequence[int]) -> Iterator[str]:
        """The file of each picture all of whose wanted boxes are crowds."""
        offsets, keep = self._wanted(final)
        crowd = np.array(self.crowd, dtype=bool)[keep]
        boxes, crowds = np.diff(offsets), np.diff(np.concatenate(([0], np.cumsum(crowd)))[offsets])
        for picture in np.flatnonzero((boxes > 0) & (boxes == crowds)):
            yield self.files[picture]

    def records(
        self,
        root: Path,
        classes: ClassNames,
        final: Sequence[int],
        faults: Sequence[Fault],
        notes: Notes | None,
    ) -> Records:
        """The records, with provisional label p renamed to ``final[p]``; those of UNKNOWN left out."""
        offsets, keep = self._wanted(final)
        return Records(
            root=root,
            files=np.array(self.files, dtype=np.str_),
            **{name: np.array(column, dtype=np.int64) for name, column in self._pictures.items()},
            offsets=offsets,
            boxes=np.array(self._boxes, dtype=np.float64).reshape(-1, 4)[keep],
            labels=self._final(final)[keep],
            crowd=np.array(self.crowd, dtype=bool)[keep],
            area=np.array(self._area, dtype=np.float64)[keep],
            classes=classes,
            faults=tuple(faults),
            account=None if notes is None else notes.account(keep),
        )

    def _final(self, final: Sequence[int]) -> Array:
        renamed: Array = np.asarray([*final, UNKNOWN], dtype=np.int64)[np.array(self.labels, dtype=np.int64)]
        return renamed

    def _wanted(self, final: Sequence[int]) -> tuple[Array, Array]:
        """Offsets of the boxes that stay, and which those are."""
        keep = self._final(final) != UNKNOWN
        kept_before = np.concatenate(([0], np.cumsum(keep)))
        return kept_before[np.array(self._offsets, dtype=np.int64)], keep
