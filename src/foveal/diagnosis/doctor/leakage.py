"""Rules between pictures: the same one in two parts or twice in one; equal bytes, likeness, a common origin."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from foveal.diagnosis.doctor.likeness import heaps, near_pairs
from foveal.diagnosis.doctor.looking import Look, digest
from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many

ORIGIN_MARK = ".rf."
"""Roboflow writes ORIGINAL.rf.HASH.jpg: what stands before it names the picture that was augmented."""
NAMES_SHOWN = 5
MOST_ALIKE = 5
"""A larger heap of pictures of one look is told as one thing."""


class Place(NamedTuple):
    """A picture of one of the parts."""

    part: int
    picture: int


class Twin(NamedTuple):
    """A picture and an earlier one that it equals."""

    first: Place
    second: Place
    rule: str
    message: str


def same_files(parts: Sequence[Part]) -> list[Twin]:
    """Pictures that are one file, or equal byte for byte. Read only where two files are of one size."""
    by_path, by_size = defaultdict(list), defaultdict(list)
    for place, part in _places(parts):
        path = os.path.realpath(part.records.path(place.picture))
        by_path[path].append(place)
        if len(by_path[path]) == 1 and os.path.isfile(path):
            by_size[os.path.getsize(path)].append(place)
    by_content: dict[bytes, list[Place]] = defaultdict(list)
    for places in by_size.values():
        if len(places) > 1:
            for place in places:
                by_content[digest(parts[place.part].records.path(place.picture))].append(place)
    twins = [twin for group in by_path.values() for twin in _group(group, parts, True)]
    return twins + [twin for group in by_content.values() for twin in _group(group, parts, False)]


def _group(places: list[Place], parts: Sequence[Part], one_file: bool) -> Iterator[Twin]:
    """Each picture after the first, with the first of the same part or else of another."""
    for number, second in enumerate(places[1:], start=1):
        same_part = [place for place in places[:number] if place.part == second.part]
        first = same_part[0] if same_part else places[0]
        other = parts[first.part].picture(first.picture)
        if not same_part:
            rule = "shared_picture" if one_file else "leaked_picture"
            text = f"is in {parts[second.part].name}, and in {parts[first.part].name} as {other}"
        elif _labels(parts, first) == _labels(parts, second):
            rule, text = "duplicate_picture", f"again; the same as {other}, with the same boxes"
        else:
            rule, text = "conflicting_labels", f"again; the same as {other}, with other boxes"
        yield Twin(first, second, rule, text)


def _labels(parts: Sequence[Part], place: Place) -> list[tuple[float, ...]]:
    """Boxes and class numbers of a picture, in an order of their own."""
    rows = parts[place.part].records.rows(place.picture)
    return sorted((*box, float(label)) for box, label in zip(rows.boxes.tolist(), rows.labels, strict=True))


def leakage(
    parts: Sequence[Part], looks: Sequence[list[Look] | None], twins: Iterable[Twin]
) -> Iterator[Hit]:
    """Findings on everything that two pictures have in common."""
    known = set()
    for twin in twins:
        known |= {(twin.first, twin.second), (twin.second, twin.first)}
        yield _hit(twin.rule, parts, twin.second, twin.first, twin.message)
    equal = {place for pair in known for place in pair}
    yield from _near(parts, looks, known, equal)
    yield from _names(parts, equal)


def _near(
    parts: Sequence[Part],
    looks: Sequence[list[Look] | None],
    known: set[tuple[Place, Place]],
    equal: set[Place],
) -> Iterator[Hit]:
    places, thumbnails = [], []
    for number, seen in enumerate(looks):
        for picture, look in enumerate(seen or ()):
            if look.thumbnail is not None:
                places.append(Place(number, picture))
                thumbnails.append(look.thumbnail)
    if len(places) < 2:
        return
    for heap in heaps(near_pairs(np.stack(thumbnails)), len(places)):
        alike = [places[number] for number in heap]
        if len(alike) > MOST_ALIKE:
            yield _heap(alike, parts)
            continue
        for number, second in enumerate(alike[1:], start=1):
            elsewhere = [place for place in alike[:number] if place.part != second.part]
            first = (elsewhere or alike)[0]
            # Of three equal pictures two pairs are known: what is told once is not told again as nearly so.
            if (first, second) in known or (first in equal and second in equal):
                continue
            rule = "near_leak" if elsewhere else "near_duplicate"
            text = f"looks like {parts[first.part].picture(first.picture)} in {parts[first.part].name}"
            yield _hit(rule, parts, second, first, text)


def _heap(alike: list[Place], parts: Sequence[Part]) -> Hit:
    """Many pictures of one look, told once."""
    counts = Counter(parts[place.part].name for place in alike)
    listed = ", ".join(f"{count} in {name}" for name, count in counts.items())
    other = next((place for place in alike if place.part != alike[0].part), alike[1])
    text = (
        f"and {len(alike) - 1} more look alike ({listed}): a fixed camera, or frames of one video; one of them: "
        f"{parts[other.part].picture(other.picture)}"
    )
    return _hit("near_leak" if len(counts) > 1 else "near_duplicate", parts, alike[0], other, text)


def _names(parts: Sequence[Part], equal: set[Place]) -> Iterator[Hit]:
    """Pictures of one name, or of one original by their names, in two parts."""
    origins: dict[Hashable, list[Place]] = defaultdict(list)
    names: dict[Hashable, list[Place]] = defaultdict(list)
    for place, _ in _places(parts):
        name = _name(parts, place)
        if ORIGIN_MARK in name:
            origins[name.split(ORIGIN_MARK)[0]].append(place)
        if place not in equal:
            names[name].append(place)
    for place, other in _apart(origins):
        if place not in equal:
            text = f"comes from the same original as {parts[other.part].picture(other.picture)}"
            yield _hit("same_origin", parts, place, other, text)
    shared = list(dict.fromkeys(_name(parts, place) for place, _ in _apart(names)))
    if shared:
        shown = ", ".join(shared[:NAMES_SHOWN]) + (" ..." if len(shared) > NAMES_SHOWN else "")
        text = f"{many(len(shared), 'name')} in two parts, with different content: {shown}"
        yield Hit(finding("same_name", "parts", text))


def _name(parts: Sequence[Part], place: Place) -> str:
    return PurePosixPath(str(parts[place.part].records.files[place.picture])).name


def _apart(groups: Mapping[Hashable, list[Place]]) -> Iterator[tuple[Place, Place]]:
    """Every place in another part than the first of its group, with that first."""
    for places in groups.values():
        for place in places[1:]:
            if place.part != places[0].part:
                yield place, places[0]


def _places(parts: Sequence[Part]) -> Iterator[tuple[Place, Part]]:
    for number, part in enumerate(parts):
        if getattr(part.source, "format", None) != "shapes":
            for picture in range(len(part.records)):
                yield Place(number, picture), part


def _hit(rule: str, parts: Sequence[Part], place: Place, other: Place, text: str) -> Hit:
    part = parts[place.part]
    spot, beside = (Spot(parts[one.part].name, one.picture) for one in (place, other))
    return Hit(finding(rule, part.picture(place.picture), text), part.name, spot, beside)
