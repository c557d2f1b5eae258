"""Pairs of boxes that lie on each other, against every pair compared."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from foveal.data.records import Records
from foveal.diagnosis.doctor.box_twins import NEAR, twin_pairs
from foveal.diagnosis.doctor.part import Part
from foveal.types import ClassNames


def part(boxes: np.ndarray, labels: np.ndarray, crowd: np.ndarray, pictures: int) -> Part:
    """As many boxes on each picture."""
    total = len(boxes)
    names = tuple(f"{number}.png" for number in range(pictures))
    sizes = np.full(pictures, 4000)
    offsets = np.linspace(0, total, pictures + 1).astype(np.int64)
    ids = np.arange(pictures)
    records = Records(
        Path("."), np.array(names), ids, sizes, sizes, offsets, boxes, labels, crowd, np.ones(total),
        ClassNames(("a", "b", "c"), (1, 2, 3)),
    )  # fmt: skip
    return Part("train", records)


def reference(one: Part) -> set[tuple[int, int]]:
    """Every pair of a picture with IoU over NEAR; of equal boxes of one class, only pairs with the first."""
    rows = [row for row in range(len(one.records.labels)) if not one.records.crowd[row]]
    full = [
        (int(one.picture_of[r]), int(one.records.labels[r]), *one.records.boxes[r].tolist()) for r in rows
    ]
    firsts = [row for place, row in enumerate(rows) if full[place] not in full[:place]]
    pairs = {(rows[full.index(key)], row) for key, row in zip(full, rows, strict=True) if row not in firsts}
    for low, high in combinations(firsts, 2):
        (a, b), boxes = (low, high), one.records.boxes
        shared = np.clip(
            np.minimum(boxes[a, 2:], boxes[b, 2:]) - np.maximum(boxes[a, :2], boxes[b, :2]), 0, None
        )
        area = [(boxes[row, 2:] - boxes[row, :2]).prod() for row in (a, b)]
        iou = shared.prod() / (sum(area) - shared.prod())
        if one.picture_of[a] == one.picture_of[b] and iou > NEAR:
            pairs.add((a, b))
    return pairs


@pytest.mark.parametrize("spread", [2, 40, 4000])
@pytest.mark.parametrize("seed", range(3))
def test_every_pair_is_found(spread: int, seed: int) -> None:
    """spread 2: heaps of equal boxes; 40: many that nearly are; 4000: few that meet."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, spread, (120, 2)).astype(float)
    boxes = np.concatenate([low, low + rng.integers(300, 300 + spread // 2 + 1, (120, 2))], axis=1)
    one = part(boxes, rng.integers(0, 3, 120), rng.random(120) < 0.1, 3)
    first, second, overlap = twin_pairs(one)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == reference(one)
    assert (first < second).all()
    assert ((overlap > NEAR) & (overlap <= 1)).all()


def test_without_boxes_there_is_no_pair() -> None:
    none = part(np.empty((0, 4)), np.empty(0, dtype=np.int64), np.empty(0, dtype=bool), 2)
    assert [len(column) for column in twin_pairs(none)] == [0, 0, 0]
