"""Rules on how many boxes each class has: to learn from, to measure on, beside the others, in the other parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from foveal.data.records import class_counts
from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many

FEW_TO_LEARN, FEW_TO_MEASURE = 10, 5
IMBALANCE = 10.0
USUAL, FEW_WITHOUT = 0.9, 20
"""A class in this share of the pictures is usual; the pictures without it are listed if this few."""
SHOWN = 40
"""Classes named in one finding."""


def counts_of(part: Part) -> dict[str, int]:
    """Boxes of each class, crowds not counted."""
    return dict(zip(part.records.classes.names, class_counts(part.records).tolist(), strict=True))


def all_counts(parts: Sequence[Part]) -> dict[str, int]:
    """Boxes of each class over all parts."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(counts_of(part))
    return dict(total)


def part_counts(part: Part) -> Iterator[Hit]:
    """Rules within one part."""
    counts = {name: count for name, count in counts_of(part).items() if count}
    least = FEW_TO_LEARN if part.trains else FEW_TO_MEASURE
    rule = "few_boxes" if part.trains else "few_boxes_to_measure"
    few = sorted((name for name in counts if counts[name] < least), key=counts.__getitem__)
    if few:
        total = many(len(counts), "class", "classes")
        text = f"{len(few)} of {total} with fewer than {least} boxes: {_listed(few, counts)}"
        yield Hit(finding(rule, part.name, text), part.name)
    if part.trains and len(counts) > 1:
        most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        if counts[most] > IMBALANCE * counts[fewest]:
            text = (
                f"{most!r} has {_boxes(counts[most])}, {fewest!r} has {counts[fewest]}: "
                f"{counts[most] / counts[fewest]:.3g} times as many"
            )
            yield Hit(finding("class_imbalance", part.name, text), part.name)
    yield from _rarely_absent(part)


def across(parts: Sequence[Part]) -> Iterator[Hit]:
    """Classes of which one part knows and another does not."""
    trained = [part for part in parts if part.trains]
    measured = [part for part in parts if part.measures]
    if not trained or not measured:
        return
    learned, tested = all_counts(trained), all_counts(measured)
    for part in measured:
        for name, count in counts_of(part).items():
            if count and not learned.get(name):
                text = f"{name!r} has {_boxes(count)} here and none in {trained[0].name}"
                yield Hit(finding("class_not_trained", part.name, text), part.name)
    known = [name for name, count in learned.items() if count]
    unmeasured = sorted(
        (name for name in known if not tested.get(name)), key=learned.__getitem__, reverse=True
    )
    if unmeasured:
        total, others = many(len(known), "class", "classes"), " or ".join(part.name for part in measured)
        text = f"{len(unmeasured)} of {total} without a box in {others}: {_listed(unmeasured, learned)}"
        yield Hit(finding("class_not_measured", trained[0].name, text), trained[0].name)


def _boxes(count: int) -> str:
    return many(count, "box", "boxes")


def _listed(names: Sequence[str], counts: Mapping[str, int]) -> str:
    """Each class with its boxes, up to ``SHOWN``."""
    text = ", ".join(f"{name!r} {counts[name]}" for name in names[:SHOWN])
    return text + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _rarely_absent(part: Part) -> Iterator[Hit]:
    labelled = np.flatnonzero(part.boxes_per_picture > 0)
    if len(labelled) < 2 * FEW_WITHOUT:
        return
    records = part.records
    least = USUAL * len(labelled)
    for label in np.flatnonzero(np.bincount(records.labels) >= least).tolist():
        having = np.unique(part.picture_of[records.labels == label])
        without = np.setdiff1d(labelled, having)
        if len(having) >= least and len(without) <= FEW_WITHOUT:
            share = f"{len(having) / len(labelled):.0%} of the labelled pictures"
            text = f"no {records.classes.names[label]!r}, which {share} have"
            for picture in without.tolist():
                where = part.picture(picture)
                yield Hit(finding("rarely_absent", where, text), part.name, Spot(part.name, picture))
