"""Rules on class names alone: those that seem to mean one class, and those that mean none."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from foveal.diagnosis.doctor.part import Hit
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many

LEAST_LETTERS = 5
"""A letter makes another word of a shorter name: cat, bat, cap."""
MOST_LETTERS = 100
"""A longer name is no word that somebody has mistyped, and its deletions take memory with the square of it."""
RARE = 0.2
"""A slip of the pen is rare beside the right spelling."""
NOTHING = frozenset({"background", "bg", "__background__", "_background_", "none", "nothing", "ignore"})
SIGNS = re.compile(r"(?<!\d)[\s_\-.]+|[\s_\-.]+(?!\d)")
"""Spaces and signs; between two digits they tell numbers apart: 1.5 mm, 15 mm."""


def class_names(counts: Mapping[str, int]) -> Iterator[Hit]:
    """counts: boxes of every class, over all parts."""
    for name in counts:
        if name.strip().casefold() in NOTHING:
            boxes = many(counts[name], "box", "boxes")
            text = f"class {name!r} with {boxes}: everything outside of boxes is background already"
            yield Hit(finding("background_class", "classes", text))
    for one, other in close_pairs(counts):
        rare, common = sorted((one, other), key=lambda name: counts[name])
        why = difference(one, other, counts[rare] / max(counts[common], 1))
        if why:
            boxes = many(counts[rare], "box", "boxes")
            text = f"{rare!r} ({boxes}) and {common!r} ({counts[common]}) differ by {why}"
            fix = f"if they are one: --fix OUT --merge-classes {shlex.quote(f'{rare}={common}')}"
            yield Hit(finding("similar_classes", "classes", text, fix))


def close_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs that may be next to equal, in order: those that share themselves, or themselves less one letter.

    Two names that differ by one letter (more, less or other) or by two swapped ones have a deletion in common, so
    that no name is compared with every other (Garbe 2012, symmetric delete spelling correction).
    """
    sharing: dict[str, set[str]] = defaultdict(set)
    for name in names:
        bare = _bare(name)
        letters = range(len(bare) if len(bare) <= MOST_LETTERS else 0)
        deletions = {bare[:place] + bare[place + 1 :] for place in letters}
        for key in deletions | {bare, bare.removesuffix("es")}:
            sharing[key].add(name)
    return sorted({pair for group in sharing.values() for pair in combinations(sorted(group), 2)})


def difference(one: str, other: str, share: float) -> str:
    """By what two names differ, if it is next to nothing; share: boxes of the rarer per box of the other."""
    if one.casefold() == other.casefold():
        return "case"
    bare, bare_other = _bare(one), _bare(other)
    if bare == bare_other:
        return "spaces or signs"
    shorter, longer = sorted((bare, bare_other), key=len)
    if longer in (shorter + "s", shorter + "es") and len(shorter) > 2:
        return "a plural"
    if len(shorter) >= LEAST_LETTERS and share <= RARE and _one_letter(shorter, longer):
        return "a letter"
    return ""


def _bare(name: str) -> str:
    return SIGNS.sub("", name.casefold())


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
