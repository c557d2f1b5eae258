"""Rule: box numbers that mean something else than what they are read as.

Every other meaning that is known to happen is tried on the numbers of the file. Where many boxes do not fit their
pictures as they are read, and (nearly) all do in one other meaning, that one is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from foveal.diagnosis.doctor.box_numbers import (
    LEAST_MISFITS,
    LEAST_SHARE,
    SLACK,
    Numbers,
    Verdict,
    misfits,
    numbers_of,
    one_box,
)
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.doctor.pixel_boxes import pixel_boxes
from foveal.diagnosis.doctor.rulebook import finding
from foveal.types import Array

MOST_LEFT = 0.1
"""Share of the misfits that may stay in the right meaning: there may be slips beside."""
FEW = 10
FILLED = 0.8
"""Share of the stated size that boxes reach where they were drawn on a picture of that size."""
ALTERNATIVES: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "swapped_corners": (
        "with the smaller number first",
        lambda c, _: np.concatenate([np.minimum(c[:, :2], c[:, 2:]), np.maximum(c[:, :2], c[:, 2:])], 1),
    ),
    "xywh_as_xyxy": ("as x, y, width, height", lambda c, _: c[:, [0, 1, 0, 1]] + c * [0, 0, 1, 1]),
    "xyxy_as_xywh": ("as two corners", lambda c, _: c - c[:, [0, 1, 0, 1]] * [0, 0, 1, 1]),
    "transposed_boxes": ("with x and y swapped", lambda c, _: c[:, [1, 0, 3, 2]]),
    "swapped_sides": (
        "with width and height swapped",
        lambda c, _: np.stack(
            [c[:, 0], c[:, 1], c[:, 0] + c[:, 3] - c[:, 1], c[:, 1] + c[:, 2] - c[:, 0]], 1
        ),
    ),
    "column_order": ("as x1, x2, y1, y2", lambda c, _: c[:, [0, 2, 1, 3]]),
    "centre_as_corner": (
        "as centre, width, height",
        lambda c, _: c - np.tile((c[:, 2:] - c[:, :2]) / 2, 2),
    ),
    "corner_as_centre": (
        "as corner, width, height",
        lambda c, _: c + np.tile((c[:, 2:] - c[:, :2]) / 2, 2),
    ),
}
"""Rule -> how to say it, and corners [M, 4] with their pictures' (width, height) [M, 2] -> corners as meant."""
PREFERENCE = (
    "xywh_as_xyxy", "xyxy_as_xywh", "column_order", "transposed_boxes", "swapped_corners",
    "swapped_sides", "centre_as_corner", "corner_as_centre",
)  # fmt: skip
"""Of meanings that fit alike the first is named: those that hardly fit by chance come first."""


def judge(part: Part) -> Verdict | None:
    """The meaning that the evidence speaks for overwhelmingly, or None."""
    numbers = numbers_of(part)
    pixels = pixel_boxes(part)
    if pixels is not None or not len(numbers.corners):
        return pixels
    wrong = misfits(numbers.corners, numbers)
    return (
        _shares_of_picture(numbers)
        or _stated_size(numbers, wrong)
        or _other_order(numbers, wrong)
        or _scaled(numbers, wrong)
    )


def _other_order(numbers: Numbers, wrong: Array) -> Verdict | None:
    """One of the alternatives, where it mends what does not fit."""
    count, total = int(wrong.sum()), len(wrong)
    if count < LEAST_MISFITS or count < LEAST_SHARE * total:
        return None
    left = {
        rule: int(misfits(meant(numbers.corners, numbers.size), numbers).sum())
        for rule, (_, meant) in ALTERNATIVES.items()
    }
    best = min(left, key=lambda rule: (round(left[rule] / total, 2), PREFERENCE.index(rule)))
    if left[best] > MOST_LEFT * count:
        return None
    said, meant = ALTERNATIVES[best]
    backwards = int((numbers.corners[:, 2:] <= numbers.corners[:, :2]).any(1).sum())
    what = (
        f"{backwards / total:.0%} of {total} boxes have x2 <= x1 or y2 <= y1"
        if backwards > count / 2
        else f"{count / total:.0%} of {total} boxes leave their pictures"
    )
    return Verdict(
        best, f"{what}; {said} {left[best] / total:.0%} do not fit: was that meant?", one_box(meant)
    )


def _shares_of_picture(numbers: Numbers) -> Verdict | None:
    """Numbers from 0 to 1 in a format of pixels, which fit every picture, in its first pixel."""
    small = np.logical_and((numbers.corners <= 1.0 + SLACK).all(1), (numbers.size > 16).all(1))
    count, total = int(small.sum()), len(small)
    if count < LEAST_MISFITS or count < 0.5 * total:
        return None
    text = f"{count / total:.0%} of {total} boxes have no number over 1, in pictures of at least 16 px"
    scaled = one_box(
        lambda corners, size: np.where(corners <= 1 + SLACK, corners * np.tile(size, 2), corners)
    )
    return Verdict("normalised_boxes", f"{text}: shares of the picture?", scaled)


def _stated_size(numbers: Numbers, wrong: Array) -> Verdict | None:
    """Boxes that fit the size their labels state, where that is not the picture's."""
    stated, size = numbers.stated, numbers.size
    other = (stated > 0).all(1) & (stated != size).any(1) & (stated != size[:, ::-1]).any(1)
    count = int(other.sum())
    if count < LEAST_MISFITS:
        return None
    fits = ~misfits(numbers.corners, numbers._replace(size=np.where(stated > 0, stated, size)))[other]
    reach = float((numbers.corners[other, 2:] / stated[other]).max())
    smaller = bool((stated[other] < size[other]).all()) and reach > FILLED and count >= FEW
    if fits.mean() < 0.99 or not (wrong[other].mean() > LEAST_SHARE or smaller):
        return None
    factor = np.median(size[other] / stated[other], axis=0)
    text = (
        f"{count} boxes are on pictures of another size than stated, and fit the stated one: "
        f"scale them by {factor[0]:.4g} (x) and {factor[1]:.4g} (y)"
    )
    return Verdict("resized_boxes", text, _to_picture)


def _to_picture(
    corners: Sequence[float], size: tuple[int, int], stated: tuple[int, int] | None
) -> Sequence[float]:
    if stated is None or 0 in stated or stated in (size, size[::-1]):
        return corners
    y, x = size[0] / stated[0], size[1] / stated[1]
    return (corners[0] * x, corners[1] * y, corners[2] * x, corners[3] * y)


def _scaled(numbers: Numbers, wrong: Array) -> Verdict | None:
    """Boxes that reach beyond their pictures as far to the right as below: made on a larger copy."""
    if wrong.sum() < FEW or wrong.mean() < 0.1:
        return None
    reach = np.quantile(numbers.corners[:, 2:] / numbers.size, 0.995, axis=0)
    if reach.min() < 1.15 or reach.max() > 1.2 * reach.min() or (numbers.corners < -1).any():
        return None
    text = (
        f"{wrong.mean():.0%} of {len(wrong)} boxes leave their pictures, and all reach {reach.max():.3g} times as "
        "far: made on a copy that much larger?"
    )
    return Verdict("resized_boxes", text, None)


def one_corner(part: Part) -> Iterator[Hit]:
    """Many boxes on many pictures, and none beyond the top left part."""
    boxes, size = part.records.boxes, part.box_picture_size
    if len(boxes) < 50 or len(np.unique(part.picture_of)) < 20:
        return
    reach = (boxes[:, 2:] / size).max(0)
    if reach.max() < 0.67 and (boxes[:, :2].min(0) < 0.1 * size.min(0)).all() and reach.min() > 0.05:
        text = f"no box reaches beyond {reach[0]:.0%} of the width and {reach[1]:.0%} of the height"
        yield Hit(finding("one_corner", part.name, text), part.name)


def meanings(part: Part, verdict: Verdict | None) -> Iterator[Hit]:
    """At most one finding a part. verdict: of ``judge``."""
    if verdict is not None:
        yield Hit(finding(verdict.rule, part.name, verdict.message), part.name)
