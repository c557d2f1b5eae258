"""``--fix``: the data as it should have been, and a row for every change. Nothing is written here.

Mended is what the evidence decides. What only a person can (which of two classes, whether a huge box is meant, a
class that no part trains) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from foveal.data.records import Records
from foveal.diagnosis.doctor.box_twins import twin_pairs
from foveal.diagnosis.doctor.leakage import Place, Twin
from foveal.diagnosis.doctor.looking import Look
from foveal.diagnosis.doctor.meanings import judge
from foveal.diagnosis.doctor.part import Part
from foveal.diagnosis.doctor.picture_facts import SUFFIXES
from foveal.diagnosis.doctor.reading import read_part
from foveal.errors import DataError, UsageError
from foveal.grammar import many
from foveal.types import Array, ClassNames

LEFT_OUT = "left out"


class Change(NamedTuple):
    """One row of ``fixes.csv``."""

    rule: str
    part: str
    where: str
    before: str
    after: str


class Mended(NamedTuple):
    """A part as it is to be written."""

    name: str
    records: Records
    names: list[str]
    """[P] path of each picture in the copy, relative to the part's folder of pictures."""


def understood(part: Part, classes: list[str] | None, changes: list[Change]) -> Part:
    """The part read anew by what its numbers mean, where that is another thing than what was read."""
    verdict = judge(part)
    if verdict is None or verdict.meaning is None or part.source is None:
        return part
    again = read_part(part.name, part.source, classes, verdict.meaning)
    before = _numbers_by_place(part)
    for row in range(len(again.records.labels)):
        where, box = again.place(row), again.records.boxes[row]
        old = before.get(where)
        if old is None or not np.allclose(old, box):
            changes.append(
                Change(verdict.rule, part.name, where, "" if old is None else _box(old), _box(box))
            )
    return again


def _numbers_by_place(part: Part) -> dict[str, Array]:
    """Corners as the file has them, by where they stand."""
    account = part.records.account
    if account is None:
        return {}
    found: dict[str, Array] = dict(
        zip(account.places, part.records.boxes - np.array(account.shift), strict=True)
    )
    for fault, corners in zip(account.faults.tolist(), account.corners, strict=True):
        found[part.records.faults[fault].where] = corners
    return found


def mend(
    parts: Sequence[Part],
    looked: Sequence[list[Look] | None],
    twins: Iterable[Twin],
    merges: Mapping[str, str],
    changes: list[Change],
) -> list[Mended]:
    """Every part without what must not be in it, with one list of classes for all.

    DataError where a part has nothing to be kept; UsageError where it is generated, or a class is not there.
    """
    dropped = _doubled(parts, twins, changes)
    names, ids = _classes(parts, merges)
    mended = []
    for number, (part, seen) in enumerate(zip(parts, looked, strict=True)):
        if part.unusable:
            raise DataError(f"--fix: nothing was written, since {part.name} would be empty: {part.unusable}")
        if seen is None:
            raise UsageError(
                f"--fix: {part.name} is generated, not read from files: there is nothing to copy"
            )
        _tell_reading(part, changes)
        keep = np.ones(len(part.records), dtype=bool)
        keep[list(dropped.get(number, ()))] = False
        for picture, look in enumerate(seen):
            if look.fault:
                keep[picture] = False
                changes.append(
                    Change("broken_picture", part.name, part.picture(picture), look.fault, LEFT_OUT)
                )
        if not keep.any() and part.trains:
            raise DataError(
                f"--fix: nothing was written, since every picture of {part.name} would be left out"
            )
        if not keep.any():
            changes.append(Change("unusable", part.name, part.name, many(len(keep), "picture"), LEFT_OUT))
            continue  # no reader takes a part without a picture
        boxes = np.repeat(keep, part.boxes_per_picture)
        merged = _merge(part, merges, changes)
        boxes[_repeated(merged, boxes, changes)] = False
        records = _with_names(_kept(merged.records, keep, boxes), names, ids)
        mended.append(Mended(part.name, records, _file_names(part, seen, keep, changes)))
    return mended


def _repeated(part: Part, stays: Array, changes: list[Change]) -> list[int]:
    """Rows of boxes that equal an earlier one in place and class. stays: [N] whether the box's picture does."""
    first, second, overlap = twin_pairs(part)
    labels = part.records.labels
    equal = stays[second] & (overlap >= 1) & (labels[first] == labels[second])
    for one, row in zip(first[equal].tolist(), second[equal].tolist(), strict=True):
        same = f"{_box(part.records.boxes[row])} as in {part.place(one)}"
        changes.append(Change("duplicate_box", part.name, part.place(row), same, LEFT_OUT))
    return [int(row) for row in second[equal]]


def _doubled(parts: Sequence[Part], twins: Iterable[Twin], changes: list[Change]) -> dict[int, set[int]]:
    """Pictures to leave out, by part: of one in two parts, that in the part which is not measured on."""
    dropped: dict[int, set[int]] = {}
    kept: dict[Place, Place] = {}  # of a picture that is left out, the equal one that stays
    for one, second, rule, _ in twins:
        first = one
        while first in kept:
            first = kept[first]
        if second in kept or second == first:
            continue
        gone, stays = second, first
        if parts[second.part].measures and not parts[first.part].measures:
            gone, stays = first, second
        kept[gone] = stays
        dropped.setdefault(gone.part, set()).add(gone.picture)
        part, other = parts[gone.part], parts[stays.part]
        before = f"as {other.picture(stays.picture)} in {other.name}"
        changes.append(Change(rule, part.name, part.picture(gone.picture), before, LEFT_OUT))
    return dropped


def _tell_reading(part: Part, changes: list[Change]) -> None:
    """What the reader left out or clipped stays so in the copy."""
    account = part.records.account
    rows: dict[int, tuple[Array, int]] = {}
    if account is not None:
        columns = zip(account.faults.tolist(), account.corners, account.rows.tolist(), strict=True)
        rows = {fault: (corners, row) for fault, corners, row in columns}
    for number, (kind, where, message) in enumerate(part.records.faults):
        if number in rows:
            corners, row = rows[number]
            after = LEFT_OUT if row < 0 else _box(part.records.boxes[row])
            changes.append(Change(kind, part.name, where, _box(corners), after))
        elif "dropped" in message or LEFT_OUT in message:
            changes.append(Change(kind, part.name, where, message, LEFT_OUT))
        elif kind == "size_mismatch":
            changes.append(Change(kind, part.name, where, message, "the picture's own size"))


def _classes(parts: Sequence[Part], merges: Mapping[str, str]) -> tuple[list[str], list[int]]:
    """Names and ids for all parts; the files' ids where they agree, else 1 to K."""
    ids: dict[str, set[int]] = {}
    for part in parts:
        for name, class_id in zip(part.records.classes.names, part.records.classes.ids, strict=True):
            ids.setdefault(merges.get(name, name), set()).add(class_id if name not in merges else -1)
    for name in merges:
        if not any(name in part.records.classes.names for part in parts):
            known = ", ".join(sorted(ids))
            raise UsageError(f"--merge-classes {name}={merges[name]}: no class {name!r}; there are {known}")
    for found in ids.values():
        if len(found) > 1:
            found.discard(-1)
    flat = [class_id for found in ids.values() for class_id in found]
    if all(len(found) == 1 for found in ids.values()) and len(set(flat)) == len(ids) and -1 not in flat:
        return list(ids), flat
    return list(ids), list(range(1, len(ids) + 1))


def _merge(part: Part, merges: Mapping[str, str], changes: list[Change]) -> Part:
    """The part with classes renamed; two of one name become one."""
    old = part.records.classes
    wanted = [merges.get(name, name) for name in old.names]
    names = list(dict.fromkeys(wanted))
    if wanted == list(old.names):
        return part
    for row, label in enumerate(part.records.labels.tolist()):
        name = old.names[label]
        if name in merges:
            changes.append(Change("similar_classes", part.name, part.place(row), name, merges[name]))
    place = np.array([names.index(name) for name in wanted], dtype=np.int64)
    classes = ClassNames(tuple(names), tuple(old.ids[wanted.index(name)] for name in names))
    return Part(
        part.name, replace(part.records, labels=place[part.records.labels], classes=classes), part.source
    )


def _with_names(records: Records, names: list[str], ids: list[int]) -> Records:
    """The same records with the classes of all parts."""
    place = np.array([names.index(name) for name in records.classes.names], dtype=np.int64)
    return replace(records, labels=place[records.labels], classes=ClassNames(tuple(names), tuple(ids)))


def _kept(records: Records, pictures: Array, boxes: Array) -> Records:
    """Only the pictures and boxes where the masks [P] and [N] are true; no faults, no account."""
    before = np.concatenate([[0], np.cumsum(boxes)])
    starts = before[records.offsets]
    counts = np.diff(starts)[pictures]
    return replace(
        records,
        files=records.files[pictures],
        image_ids=np.arange(1, int(pictures.sum()) + 1),
        heights=records.heights[pictures],
        widths=records.widths[pictures],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=records.boxes[boxes],
        labels=records.labels[boxes],
        crowd=records.crowd[boxes],
        area=records.area[boxes],
        faults=(),
        account=None,
    )


def _file_names(part: Part, seen: list[Look], keep: Array, changes: list[Change]) -> list[str]:
    """Each kept picture's path in the copy: its own, with the extension of what it is."""
    taken = {str(name) for name in part.records.files}
    names = []
    for picture in np.flatnonzero(keep).tolist():
        name = str(part.records.files[picture])
        suffixes = SUFFIXES.get(seen[picture].format, frozenset({PurePosixPath(name).suffix.lower()}))
        if PurePosixPath(name).suffix.lower() not in suffixes:
            old, ending = name, "." + seen[picture].format.lower()
            name = str(PurePosixPath(name).with_suffix(ending))
            while name in taken:
                name = str(PurePosixPath(name).with_stem(PurePosixPath(name).stem + "_"))
            taken.add(name)
            changes.append(Change("wrong_extension", part.name, part.picture(picture), old, name))
        names.append(name)
    return names


def _box(corners: Array) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in corners.tolist()) + "]"
