"""What becomes of a box that its file marks: hard to see, cut off, covered, or a crowd."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from foveal.data.builder import RecordsBuilder

FlagRule = Literal["keep", "ignore", "drop"]
"""keep: as any box; ignore: a region that training and evaluation leave alone; drop: as if not there."""


class Flags(NamedTuple):
    """A rule for each mark; the defaults are those of the VOC and COCO evaluations."""

    difficult: FlagRule = "ignore"
    truncated: FlagRule = "keep"
    occluded: FlagRule = "keep"
    crowd: FlagRule = "ignore"

    def judge(self, marks: Collection[str], where: str, builder: RecordsBuilder) -> bool | None:
        """Whether a box with these marks is to be ignored; None, counted, where it is to be dropped."""
        if not marks:
            return False
        rules = {mark: getattr(self, mark) for mark in marks}
        dropped = [mark for mark, rule in rules.items() if rule == "drop"]
        if dropped:
            builder.fault("flagged", where, f"marked {' and '.join(dropped)}: dropped")
            return None
        return "ignore" in rules.values()


DEFAULT_FLAGS = Flags()


def is_set(text: str) -> bool:
    """Whether a flag's text says yes; OpenImages writes -1 where nobody knows, which is no."""
    return text.strip().lower() not in ("", "0", "0.0", "-1", "false", "no", "n", "unspecified")
