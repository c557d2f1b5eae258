"""What the reading of one split has come to: its boxes and faults so far, and at its end records or a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from foveal.data.account import new_notes
from foveal.data.inside import printable
from foveal.data.records import Fault, FaultKind, Records
from foveal.data.table import UNKNOWN, RecordsTable
from foveal.errors import DataError
from foveal.types import ClassNames

FATAL_WHEN_STRICT: frozenset[FaultKind] = frozenset(
    {"unreadable_picture", "missing_picture", "unsafe_path", "unreadable_labels"}
)
HARMLESS: frozenset[FaultKind] = frozenset(
    {"class_list", "moved_path", "polygon", "rotated_labels", "clipped"}
)
"""Nothing is lost by these: they are not why a set cannot be used."""


class NothingToLearnError(DataError):
    """Labels without a usable box or picture, with all that was found in them."""

    def __init__(self, message: str, records: Records) -> None:
        super().__init__(message)
        self.records = records
        """Without boxes and classes, perhaps without pictures."""


class Outcome:
    """The state of one reading; the arguments are those of ``RecordsBuilder``."""

    def __init__(self, root: Path, source: Path, strict: bool) -> None:
        self.root = root
        self.source = source
        self.strict = strict
        self.faults: list[Fault] = []
        self.table = RecordsTable()
        self.notes = new_notes()

    def fault(self, kind: FaultKind, where: str, message: str) -> None:
        """Count one thing that was noticed, with its place; both become one line."""
        self.faults.append(Fault(kind, printable(where), printable(" ".join(message.split()))))

    def finish(
        self,
        names: Sequence[str],
        all_wanted: bool,
        order: Callable[[str], Any] | None,
        ids: Callable[[Sequence[str]], Iterable[int]] | None,
    ) -> Records:
        """As ``RecordsBuilder.finish``."""
        chosen = list(names)
        if not all_wanted:
            used = self.table.used()
            chosen = [name for label, name in enumerate(names) if label in used]
            chosen = chosen if order is None else sorted(chosen, key=order)
            if not chosen:
                self._raise_if_strict()
                self._raise_if_empty()
                self._raise_nothing("no usable box, so there is nothing to learn")
        place = {name: index for index, name in enumerate(chosen)}
        numbers = range(1, len(chosen) + 1) if ids is None else ids(chosen)
        return self.build(ClassNames(tuple(chosen), tuple(numbers)), [place.get(n, UNKNOWN) for n in names])

    def build(self, classes: ClassNames, final: Sequence[int]) -> Records:
        """As ``RecordsBuilder.build``."""
        self._raise_if_strict()
        self._raise_if_empty()
        return self._records(classes, final)

    def _records(self, classes: ClassNames, final: Sequence[int]) -> Records:
        for file in self.table.lost(final):
            why = "box of a class that has only crowd boxes: dropped"
            self.fault("unknown_class", f"{self.source}: {file}", why)
        for file in self.table.only_crowd(final):
            self.fault("only_crowd", file, "every box is a crowd: background but for those")
        return self.table.records(self.root, classes, final, self.faults, self.notes)

    def _raise_if_strict(self) -> None:
        fatal = [fault for fault in self.faults if fault.kind in FATAL_WHEN_STRICT] if self.strict else []
        if fatal:
            first = f"{fatal[0].where}: {fatal[0].message}"
            raise DataError(f"{self.source}: strict, and {len(fatal)} cannot be read; first: {first}")

    def _raise_if_empty(self) -> None:
        if not self.table.files:
            self._raise_nothing(f"no picture to work with in {self.root}")

    def _raise_nothing(self, what: str) -> NoReturn:
        message = f"{self.source}: {what}{self._summary()}"
        if self.notes is None:
            raise DataError(message)
        labels = max(self.table.labels, default=-1) + 1
        raise NothingToLearnError(message, self._records(ClassNames((), ()), [UNKNOWN] * labels))

    def _summary(self) -> str:
        """Counts, and the first fault that may be the cause, for a message about an unusable data set."""
        if not self.faults:
            return ""
        counts = Counter(fault.kind for fault in self.faults)
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        first = next((fault for fault in self.faults if fault.kind not in HARMLESS), self.faults[0])
        return f" ({listed}; first: {first.where}: {first.message})"
