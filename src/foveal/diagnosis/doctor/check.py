"""Every rule on every part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from foveal.diagnosis.data_fit import canvas_of
from foveal.diagnosis.doctor.box_size import box_sizes
from foveal.diagnosis.doctor.box_twins import box_twins
from foveal.diagnosis.doctor.class_counts import across, all_counts, part_counts
from foveal.diagnosis.doctor.class_ids import class_ids
from foveal.diagnosis.doctor.class_names import class_names
from foveal.diagnosis.doctor.conventions import conventions
from foveal.diagnosis.doctor.leakage import leakage, same_files
from foveal.diagnosis.doctor.looking import Look
from foveal.diagnosis.doctor.meanings import judge, meanings, one_corner
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.doctor.picture_facts import looks, picture_counts
from foveal.diagnosis.doctor.read_faults import read_faults
from foveal.diagnosis.doctor.report import Report, summary_of
from foveal.diagnosis.doctor.roles import missing_parts
from foveal.diagnosis.doctor.same_place import same_place
from foveal.diagnosis.finding import Finding

Looks = Sequence[list[Look] | None]
AnchorSection = tuple[Sequence[str], Sequence[Finding]]
NO_CANVAS = (512, 512)
"""The canvas of a set that has nothing to fit one to: the configuration's default."""


def check(
    parts: Sequence[Part],
    looked: Looks,
    canvas: tuple[int, int] | None = None,
    anchors: AnchorSection = ((), ()),
    title: str = "",
    tile: tuple[int, int] | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """The report on a data set.

    looked: of each part, what looking at its pictures showed (``look_at``). canvas: (height, width) that a
    configuration letterboxes onto; None where there is none: ``foveal init``'s. anchors: lines and findings about
    a configuration's. tile: (height, width) that training cuts larger pictures into. notes: on how the parts were
    found.
    """
    size = canvas or _canvas(parts)
    lines, findings = anchors
    hits = itertools.chain(
        itertools.chain.from_iterable(
            _of_part(part, seen, size, tile) for part, seen in zip(parts, looked, strict=True)
        ),
        missing_parts(parts, notes, canvas is not None),
        _of_set(parts, looked),
        (Hit(found) for found in findings),
    )
    summaries = [summary_of(part, seen) for part, seen in zip(parts, looked, strict=True)]
    return Report(title, summaries, hits, lines)


def check_labels(parts: Sequence[Part], notes: Sequence[str] = ()) -> Report:
    """The report on what labels and headers show: no picture is decoded."""
    return check(parts, [None] * len(parts), notes=notes)


def _of_part(
    part: Part, seen: list[Look] | None, canvas: tuple[int, int], tile: tuple[int, int] | None
) -> Iterator[Hit]:
    verdict = judge(part)
    yield from meanings(part, verdict)
    yield from read_faults(part)
    yield from looks(part, seen)
    yield from conventions(part, verdict)
    yield from one_corner(part)
    yield from box_twins(part)
    yield from box_sizes(part, canvas, tile)
    yield from same_place(part)
    yield from part_counts(part)
    yield from picture_counts(part)


def _of_set(parts: Sequence[Part], looked: Looks) -> Iterator[Hit]:
    yield from across(parts)
    yield from class_names(all_counts(parts))
    yield from class_ids(parts)
    yield from leakage(parts, looked, same_files(parts))


def _canvas(parts: Sequence[Part]) -> tuple[int, int]:
    """The canvas that init would propose for the first part that can be trained on."""
    for part in sorted(parts, key=lambda part: not part.trains):
        if (~part.records.crowd).any():
            fit = canvas_of(part.records)
            return fit.height, fit.width
    return NO_CANVAS
