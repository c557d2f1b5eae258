"""Reading one NetsPresso document while writing ours: every key that is taken is accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from foveal.config.document import Document, Key, Origin, dotted
from foveal.config.netspresso.ledger import Ledger, walk

OFF = "it is null, which leaves it out there, too"


class Translation(NamedTuple):
    """Their sections, ours, and the account."""

    theirs: Document
    ours: Document
    ledger: Ledger

    def has(self, key: Key) -> bool:
        """Whether the file gives the key, null included."""
        return key in self.theirs.origins

    def get(self, key: Key) -> Any:
        """The value; None where there is none."""
        return self.theirs.get(key)

    def origin(self, key: Key) -> Origin:
        """Where the value stands."""
        return self.theirs.origin(key)

    def number(self, key: Key) -> float | None:
        """The value as a number; None where there is none, or null; another value is a fault."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            self.ledger.fault(self.origin(key), f"{dotted(key)}: {value!r} is not allowed; allowed: a number")
            return None
        return float(value)

    def put(self, key: Key, to: Key, value: Any) -> None:
        """Writes our setting with the place of theirs."""
        self.ours.put(to, value, self.origin(key))

    def map(self, key: Key, to: Key, value: Any, how: str = "") -> None:
        """``key`` is our setting ``to``. how: what a person should know of it."""
        self.put(key, to, value)
        if key == to and not how and value == self.get(key):
            self.used(key)
            return
        told = f"{dotted(to)} {_plain(value)}{how and f': {how}'}"
        self.ledger.mapped(key, self.origin(key), told, dotted(key))

    def used(self, key: Key, why: str = "") -> None:
        """Means the same here."""
        self.ledger.used(key, self.origin(key), why)

    def ignore(self, key: Key, why: str, warning: bool = False) -> None:
        """Does nothing here; null says so of itself."""
        why = OFF if self.get(key) is None else why
        text = f"{dotted(key)} is ignored: {why}" if warning and why != OFF else ""
        self.ledger.ignored(key, self.origin(key), why, text)

    def ignore_known(self, section: Key, reasons: Mapping[str, str]) -> None:
        """Those of ``reasons`` that the section gives, and everything below them."""
        for name, why in reasons.items():
            key = (*section, name)
            if not self.has(key) or key in self.ledger.entries:
                continue
            self.ignore(key, why)
            for inner, _ in walk(self.get(key), key):
                self.ignore(inner, why)


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(_plain(item) for item in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
