"""Numbers with their nouns, in sentences for a person."""

from __future__ import annotations


def many(count: int, one: str, more: str = "") -> str:
    """``1 box``, ``2 boxes``. more: the plural, by default ``one`` with an s."""
    return f"{count} {one if count == 1 else more or one + 's'}"
