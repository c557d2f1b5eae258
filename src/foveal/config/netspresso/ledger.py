"""What became of every key of a NetsPresso file, and the notes that a person is shown of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from foveal.config.document import Document, Key, Origin, dotted
from foveal.errors import UsageError

Kind = Literal["used", "mapped", "ignored"]


class Note(NamedTuple):
    """What was read differently from how it was written."""

    text: str
    warning: bool = False
    """The file contradicts itself; a person should look."""


class Entry(NamedTuple):
    """What became of one key."""

    key: Key
    place: str
    """``file.yaml:12``."""
    kind: Kind
    text: str
    """used: why it is the same here, or nothing; mapped: to what; ignored: why."""

    def sentence(self) -> str:
        """``mapped to training.epochs 12``."""
        if self.kind == "mapped":
            return f"mapped to {self.text}"
        if self.kind == "ignored":
            return f"ignored because {self.text}"
        return f"used: {self.text}" if self.text else "used"


class Ledger:
    """One entry per key, notes in the order they came up, and the faults found on the way."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.notes: list[Note] = []
        self.remarks: list[str] = []
        self.faults: list[str] = []

    def used(self, key: Key, origin: Origin, why: str = "") -> None:
        """The key means here what it means there."""
        self._enter(Entry(key, origin.place, "used", why))

    def mapped(self, key: Key, origin: Origin, to: str, what: str = "") -> None:
        """The key is another one here. what: how the note calls it, where not by the last two names."""
        self._enter(Entry(key, origin.place, "mapped", to))
        self.notes.append(Note(f"{origin.place}: {what or _short(key)} is read as {to}"))

    def ignored(self, key: Key, origin: Origin, why: str, warning: str = "") -> None:
        """The key does nothing here. warning: the note's own words, where a person should look."""
        self._enter(Entry(key, origin.place, "ignored", why))
        text = warning or f"{_short(key)} is ignored: {why}"
        self.notes.append(Note(f"{origin.place}: {text}", bool(warning)))

    def remark(self, origin: Origin, text: str) -> None:
        """Something to know that is no key of the file."""
        self.remarks.append(f"{origin.place}: {text}")
        self.notes.append(Note(self.remarks[-1]))

    def warn(self, origin: Origin, text: str) -> None:
        """Something that a person should look at, of a key that has its entry."""
        self.notes.append(Note(f"{origin.place}: {text}", warning=True))

    def fault(self, origin: Origin, text: str) -> None:
        """Something that cannot be read at all; all of them are told together."""
        line = f"{origin.place}: {text}"
        if line not in self.faults:
            self.faults.append(line)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """A UsageError inside the block ends the block only, and becomes a fault."""
        try:
            yield
        except UsageError as error:
            self.faults.append(str(error))

    def _enter(self, entry: Entry) -> None:
        if entry.key in self.entries:
            raise ValueError(f"{dotted(entry.key)} is accounted for twice")
        self.entries[entry.key] = entry


def _short(key: Key) -> str:
    return dotted(key[-2:]) if len(key) > 2 else dotted(key[-1:])


def walk(value: Any, key: Key = ()) -> Iterator[tuple[Key, bool]]:
    """Every key of nested values, in the order of the file, and whether other keys stand below it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        here = (*key, name)
        below = list(walk(inner, here))
        if isinstance(name, str):
            yield here, bool(below)
        yield from below


def whole(value: Any, name: str, origin: Origin, least: int, most: int) -> int:
    """``value`` as a whole number in least..most. UsageError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(
            f"{origin.place}: {name} {value!r} is not allowed; allowed: a whole number in {least}..{most}"
        )
    return value


def assign(document: Document, key: Key, value: Any, origin: Origin, foreign: str) -> None:
    """Writes a mapped value unless ours stands there already and agrees, or is the stronger override."""
    if key in document.origins:
        if document.origin(key).override and not origin.override:
            return
        if document.get(key) != value and document.origin(key).override == origin.override:
            raise UsageError(
                f"{origin.place}: {foreign} asks for {key[-1]} {value!r}, but {key[-1]} is "
                f"{document.get(key)!r} ({document.origin(key).place}); give one of the two"
            )
    document.put(key, value, origin)
