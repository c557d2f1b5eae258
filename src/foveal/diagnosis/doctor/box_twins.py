"""Rules: the same box twice, nearly the same box twice, one box with two classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.diagnosis.doctor.part import Hit, Part, box_spot
from foveal.diagnosis.doctor.rulebook import finding
from foveal.types import Array

NEAR = 0.95
"""IoU over which two boxes are one object to an annotator."""
MOST_NEIGHBOURS = 200
"""Boxes to the right that a box is compared with, at most: only a heap of boxes has more that near."""


def box_twins(part: Part) -> Iterator[Hit]:
    """Every pair once; of a group of equal boxes, each after the first."""
    first, second, iou = twin_pairs(part)
    labels = part.records.labels
    for one, other, overlap in zip(first.tolist(), second.tolist(), iou.tolist(), strict=True):
        name, place = part.class_name(one), part.place(one)
        if labels[one] != labels[other]:
            rule = "two_classes"
            what = f"{part.class_name(other)!r} lies on {name!r} of {place} (IoU {overlap:.3f})"
        elif overlap >= 1:
            rule, what = "duplicate_box", f"{name!r} again, same as {place}"
        else:
            rule, what = "near_duplicate_box", f"{name!r} almost as in {place} (IoU {overlap:.3f})"
        yield Hit(finding(rule, part.place(other), what), part.name, box_spot(part, other))


def twin_pairs(part: Part) -> tuple[Array, Array, Array]:
    """[T] rows of two boxes of one picture with IoU over NEAR, the earlier first, and that IoU.

    Of boxes that are equal in all four numbers and in class, each pairs with the first alone.
    """
    rows = np.flatnonzero(~part.records.crowd)
    boxes, labels = part.records.boxes[rows], part.records.labels[rows]
    pictures = part.picture_of[rows]
    keys = (labels, boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], pictures)
    order = _equal_together(keys)
    same = _as_before(keys, order)
    leader = np.flatnonzero(~same)[np.cumsum(~same) - 1] if len(order) else order
    first, second = [order[leader[same]]], [order[same]]
    overlap = [np.ones(int(same.sum()))]
    unique = order[~same]  # by picture, then x1
    boxes, pictures = boxes[unique], pictures[unique]
    left = np.arange(len(unique))
    for step in range(1, MOST_NEIGHBOURS + 1):
        # IoU > t needs x1 within (1 - t) of the wider box's width; the neighbour's width is bound by 1 / t.
        # Where the neighbour is too far to the right, those behind it are, too.
        left = left[left + step < len(unique)]
        reach = (1 - NEAR) / NEAR * (boxes[left, 2] - boxes[left, 0])
        close = (pictures[left] == pictures[left + step]) & (boxes[left + step, 0] - boxes[left, 0] <= reach)
        left = left[close]
        if not len(left):
            break
        iou = _iou(boxes[left], boxes[left + step])
        near = iou > NEAR
        first.append(unique[left[near]])
        second.append(unique[left[near] + step])
        overlap.append(iou[near])
    one, other, iou = rows[np.concatenate(first)], rows[np.concatenate(second)], np.concatenate(overlap)
    return np.minimum(one, other), np.maximum(one, other), iou


def _equal_together(keys: tuple[Array, ...]) -> Array:
    """[M] rows by the last two keys, equal ones of those by the others; of equals the first in the file is first.

    A sort by all keys takes four times as long, and few boxes of a picture start at the same x1.
    """
    order = np.lexsort(keys[-2:])
    tied = _as_before(keys[-2:], order)
    tied[:-1] |= tied[1:]
    some = np.sort(order[tied])
    order[tied] = some[np.lexsort([key[some] for key in keys])]
    return order


def _as_before(keys: tuple[Array, ...], order: Array) -> Array:
    """[M] whether a row of the order has the same keys as the one before it."""
    same = np.ones(len(order), dtype=bool)
    same[:1] = False
    for key in keys:
        column = key[order]
        same[1:] &= column[1:] == column[:-1]
    return same


def _iou(one: Array, other: Array) -> Array:
    """[T] IoU of boxes pair by pair."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1)
    iou: Array = shared / (areas - shared)
    return iou
