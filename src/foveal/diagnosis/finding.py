"""What a check has found: one thing, where it is, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
"""error: training or its figures will be wrong; warning: probably not what was meant; note: good to know."""


class Finding(NamedTuple):
    """One fault, ready for a person and for a table."""

    rule: str
    """Name of the rule that found it, e.g. ``zero_size``: short, lower case, the same for ever."""
    severity: Severity
    where: str
    """``file:line``, file and id, or the part of the data; empty: the set as a whole."""
    message: str
    """What is wrong, with the numbers, in one line."""
    fix: str = ""
    """What to do about it, in one line; empty: nothing has to be done."""
