"""Rules on class names alone: those that seem to mean one class, and those that mean none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import combinations

from foveal.diagnosis.doctor.part import Hit
from foveal.diagnosis.doctor.rulebook import finding

LEAST_LETTERS = 5
"""A letter makes another word of a shorter name: cat, bat, cap."""
RARE = 0.2
"""A slip of the pen is rare beside the right spelling."""
MOST_NAMES = 2000
"""Names that are compared pair by pair, at most."""
NOTHING = frozenset({"background", "bg", "__background__", "_background_", "none", "nothing", "ignore"})


def class_names(counts: Mapping[str, int]) -> Iterator[Hit]:
    """counts: boxes of every class, over all parts."""
    for name in counts:
        if name.strip().casefold() in NOTHING:
            text = (
                f"class {name!r} with {counts[name]} boxes: everything outside of boxes is background already"
            )
            yield Hit(finding("background_class", "classes", text))
    for one, other in combinations(sorted(counts)[:MOST_NAMES], 2):
        rare, common = sorted((one, other), key=lambda name: counts[name])
        why = difference(one, other, counts[rare] / max(counts[common], 1))
        if why:
            text = f"{rare!r} ({counts[rare]} boxes) and {common!r} ({counts[common]}) differ by {why}"
            fix = f"if they are one: --fix OUT --merge-classes {shlex.quote(f'{rare}={common}')}"
            yield Hit(finding("similar_classes", "classes", text, fix))


def difference(one: str, other: str, share: float) -> str:
    """By what two names differ, if it is next to nothing; share: boxes of the rarer per box of the other."""
    plain, plain_other = one.casefold(), other.casefold()
    if plain == plain_other:
        return "case"
    bare, bare_other = (re.sub(r"[\s_\-.]+", "", name) for name in (plain, plain_other))
    if bare == bare_other:
        return "spaces or signs"
    shorter, longer = sorted((bare, bare_other), key=len)
    if longer in (shorter + "s", shorter + "es") and len(shorter) > 2:
        return "a plural"
    if len(shorter) >= LEAST_LETTERS and share <= RARE and _one_letter(shorter, longer):
        return "a letter"
    return ""


def _one_letter(shorter: str, longer: str) -> bool:
    """Whether one letter more, less, other, or two swapped make one name of the other; digits tell apart."""
    start = 0
    while start < len(shorter) and shorter[start] == longer[start]:
        start += 1
    end = 0
    while end < len(shorter) - start and shorter[-1 - end] == longer[-1 - end]:
        end += 1
    left, right = shorter[start : len(shorter) - end], longer[start : len(longer) - end]
    if any(letter.isdigit() for letter in left + right):
        return False
    if len(left) == len(right) == 2:
        return left == right[::-1]
    return len(left) <= 1 and len(right) <= 1
