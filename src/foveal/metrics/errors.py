"""What the wrong detections cost: the error split of TIDE (Bolya et al. 2020, sections 2 and 3).

Each wrong detection has one kind, each box that nothing could have found is missed, and the price of a kind is
what AP50 would gain were all its errors mended and nothing else. Prices do not add up to 100 - AP50: mending one
kind changes what another is worth.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple, get_args

import numpy as np

from foveal.metrics.average_precision import average_precision
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.matching import NONE, Matching, box_overlaps, match_detections
from foveal.types import Array, GroundTruth

ErrorKind = Literal["class", "location", "both", "duplicate", "background", "missed"]
"""class: on a box of another class. location: its own class, but the IoU is too low. both: another class, and
the IoU is too low. duplicate: on a box that a better detection has found. background: on nothing. missed: a box
that no detection finds, nor would with class or location mended."""
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
CORRECT, IGNORED = "correct", "ignored"
IOU, BACKGROUND_IOU = 0.5, 0.1
"""From where a detection is right; below which it is on nothing."""


class ClassErrors(NamedTuple):
    """The split of one class."""

    name: str
    boxes: int
    AP50: float | None
    """In [0, 1]; None for a class without a box."""
    points: dict[str, float]
    """What this class's AP50 would gain by kind, in points of 100; empty for a class without a box."""
    counts: dict[str, int]
    """Wrong detections of this class by kind, at any score, and its boxes that are missed."""


class ErrorSplit(NamedTuple):
    """Prices and counts of all kinds, and the kind of every detection."""

    AP50: float | None
    points: dict[str, float]
    """What AP50 would gain by kind, in points of 100: the mean over the classes that have boxes."""
    false_positive: float
    """... were there no wrong detection (perfect precision)."""
    false_negative: float
    """... were the boxes that are not found not there (perfect recall)."""
    counts: dict[str, int]
    per_class: list[ClassErrors]
    matching: Matching
    kinds: Array
    """[D] text, in the order of ``matching``: an error kind, ``correct`` or ``ignored``."""
    boxes: Array
    """[D] row of the box that the kind speaks of (of background and both: the nearest), or ``NONE``."""
    overlaps: Array
    """[D] IoU with that box."""
    missed: Array
    """[N] bool per box of the truth."""


class _Judged(NamedTuple):
    """Each detection's kind and the box it is about; which detection would find a box that is free."""

    kinds: Array
    boxes: Array
    overlaps: Array
    champions: Array
    """[D] bool: a class or location error that, mended, would find a box that none finds: the best one of each."""
    missed: Array
    unfound: Array
    """[N] bool: boxes that no detection finds; those of ``missed`` and those with a champion."""


def split_errors(truth: GroundTruth, found: DetectionColumns, matching: Matching | None = None) -> ErrorSplit:
    """Sort all wrong detections into kinds and price each kind.

    matching: at ``IOU``, where it has been made already. A class of which every box is mended away has an AP of 1
    without a detection, else of 0.
    """
    matching = matching or match_detections(truth, found, (IOU,))
    judged = _judge(truth, found, matching)
    names = truth.classes.names
    positives = matching.positives.sum(axis=0)
    base = _ap(truth, matching, judged, ())
    mended = {kind: _ap(truth, matching, judged, (kind,)) for kind in ERROR_KINDS}
    known = positives > 0
    gains = {kind: 100 * (values - base) for kind, values in mended.items()}
    counts = {
        kind: np.bincount(matching.labels[judged.kinds == kind], minlength=len(names))
        for kind in ERROR_KINDS[:-1]
    }
    counts["missed"] = np.bincount(truth.labels[judged.missed], minlength=len(names))
    rows = [
        ClassErrors(
            name,
            int(positives[k]),
            float(base[k]) if known[k] else None,
            {kind: float(gains[kind][k]) for kind in ERROR_KINDS} if known[k] else {},
            {kind: int(counts[kind][k]) for kind in ERROR_KINDS},
        )
        for k, name in enumerate(names)
    ]
    perfect = [_ap(truth, matching, judged, extra) for extra in (("false_positive",), ("false_negative",))]
    totals = [_mean(100 * (values - base), known) for values in perfect]
    return ErrorSplit(
        _mean(base, known) if known.any() else None,
        {kind: _mean(gains[kind], known) for kind in ERROR_KINDS},
        totals[0],
        totals[1],
        {kind: int(counts[kind].sum()) for kind in ERROR_KINDS},
        rows,
        matching,
        judged.kinds,
        judged.boxes,
        judged.overlaps,
        judged.missed,
    )


def mended_ap50(truth: GroundTruth, found: DetectionColumns, kinds: Collection[str]) -> float | None:
    """AP50 in [0, 1] with all errors of these kinds mended together; None where there is no box to find."""
    matching = match_detections(truth, found, (IOU,))
    judged = _judge(truth, found, matching)
    known = matching.positives.sum(axis=0) > 0
    return _mean(_ap(truth, matching, judged, kinds), known) if known.any() else None


def _judge(truth: GroundTruth, found: DetectionColumns, matching: Matching) -> _Judged:
    count = len(matching.scores)
    kinds = np.full(count, "background", dtype="<U10")
    boxes, overlaps = np.full(count, NONE, dtype=np.int64), np.zeros(count)
    unfound = ~truth.crowd.copy()
    unfound[matching.found[0][matching.found[0] != NONE]] = False
    order = np.argsort(matching.pictures, kind="stable")
    starts = np.searchsorted(matching.pictures[order], np.arange(len(truth.image_ids) + 1))
    for picture in np.unique(matching.pictures).tolist():
        mine = order[starts[picture] : starts[picture + 1]]
        near = np.arange(truth.offsets[picture], truth.offsets[picture + 1])
        near = near[~truth.crowd[near]]
        if len(near):
            table = box_overlaps(found.boxes[matching.rows[mine]], truth.boxes[near], truth.crowd[near])
            same = matching.labels[mine][:, None] == truth.labels[near][None]
            kinds[mine], places, overlaps[mine] = _kinds(table, same, ~unfound[near])
            boxes[mine] = near[places]
    right = matching.found[0] != NONE
    kinds[right], boxes[right] = CORRECT, matching.found[0][right]
    kinds[matching.ignored[0]] = IGNORED
    # Of the errors that would find the same free box only the best can be mended; the others go.
    able = np.flatnonzero(np.isin(kinds, ("class", "location")))
    able = able[unfound[boxes[able]]]
    champions = np.zeros(count, dtype=bool)
    champions[able[np.unique(boxes[able], return_index=True)[1]]] = True
    missed = unfound.copy()
    missed[boxes[able]] = False
    return _Judged(kinds, boxes, overlaps, champions, missed, unfound)


def _kinds(table: Array, same: Array, taken: Array) -> tuple[Array, Array, Array]:
    """Kind, place of its box and IoU of one picture's detections, as if none were right.

    The order of the questions is TIDE's: location, class, duplicate, background, and both for the rest.
    """
    own, other, found = table * same, table * ~same, table * (same & taken)
    questions = [
        ("location", own, (own.max(axis=1) >= BACKGROUND_IOU) & (own.max(axis=1) < IOU)),
        ("class", other, other.max(axis=1) >= IOU),
        ("duplicate", found, found.max(axis=1) >= IOU),
        ("background", table, table.max(axis=1) < BACKGROUND_IOU),
        ("both", table, np.ones(len(table), dtype=bool)),
    ]
    answers = [question[2] for question in questions]
    kinds = np.select(answers, [np.full(len(table), kind) for kind, *_ in questions], "")
    places = np.select(answers, [overlap.argmax(axis=1) for _, overlap, _ in questions])
    return kinds, places, np.select(answers, [overlap.max(axis=1) for _, overlap, _ in questions])


def _ap(truth: GroundTruth, matching: Matching, judged: _Judged, mend: Collection[str]) -> Array:
    """[K] AP50 of each class with some kinds mended; NaN for a class without a box."""
    labels, correct = matching.labels.copy(), judged.kinds == CORRECT
    kept = judged.kinds != IGNORED
    positives = matching.positives.sum(axis=0)
    known = positives > 0
    changed = np.isin(judged.kinds, list(mend))
    kept &= ~changed
    mended = changed & judged.champions
    kept |= mended
    correct |= mended
    labels[mended] = truth.labels[judged.boxes[mended]]
    if "false_positive" in mend:
        kept &= correct
    for kind, gone in (("missed", judged.missed), ("false_negative", judged.unfound)):
        if kind in mend:
            positives = positives - np.bincount(truth.labels[gone], minlength=len(positives))
    values = np.full(len(positives), np.nan)
    for k in np.flatnonzero(known):
        hits = correct[kept & (labels == k)]
        if positives[k]:
            right = np.cumsum(hits)
            curve = right / positives[k], right / np.arange(1, len(hits) + 1)
            values[k] = average_precision(*curve, method="coco101")
        else:
            values[k] = float(len(hits) == 0)
    return values


def _mean(values: Array, known: Array) -> float:
    return float(values[known].mean()) if known.any() else 0.0
