"""Rules on how many boxes each class has: to learn from, to measure on, beside the others, in the other parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from foveal.data.records import class_counts
from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import finding

FEW_TO_LEARN, FEW_TO_MEASURE = 10, 5
IMBALANCE = 10.0
USUAL, FEW_WITHOUT = 0.9, 20
"""A class in this share of the pictures is usual; the pictures without it are listed if this few."""


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
    for name, count in counts.items():
        if count < least:
            text = f"{name!r} has {count} {'box' if count == 1 else 'boxes'}; at least {least} are needed"
            yield Hit(finding(rule, part.name, text), part.name)
    if part.trains and len(counts) > 1:
        most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        if counts[most] > IMBALANCE * counts[fewest]:
            text = (
                f"{most!r} has {counts[most]} boxes, {fewest!r} has {counts[fewest]}: "
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
                text = f"{name!r} has {count} boxes here and none in {trained[0].name}"
                yield Hit(finding("class_not_trained", part.name, text), part.name)
    for name, count in learned.items():
        if count and not tested.get(name):
            others = ", ".join(part.name for part in measured)
            text = f"{name!r} has {count} boxes in {trained[0].name} and none in {others}"
            yield Hit(finding("class_not_measured", trained[0].name, text), trained[0].name)


def _rarely_absent(part: Part) -> Iterator[Hit]:
    labelled = np.flatnonzero(part.boxes_per_picture > 0)
    if len(labelled) < 2 * FEW_WITHOUT:
        return
    total, classes = len(part.records), part.records.classes.names
    pairs = np.unique(part.records.labels * total + part.picture_of)
    shares = np.bincount(pairs // total, minlength=len(classes)) / len(labelled)
    for label in np.flatnonzero((shares >= USUAL) & (shares < 1)).tolist():
        without = np.setdiff1d(labelled, pairs[pairs // total == label] % total)
        if len(without) <= FEW_WITHOUT:
            for picture in without.tolist():
                text = f"no {classes[label]!r}, which {shares[label]:.0%} of the labelled pictures have"
                where = part.picture(picture)
                yield Hit(finding("rarely_absent", where, text), part.name, Spot(part.name, picture))
