"""The kinds of random set that ``metric.py`` compares: each of them a way in which a metric goes wrong unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from foveal.types import Array, ClassNames, GroundTruth

SIDE = 640
"""Of the picture in a file, in pixels; no label may leave it."""
BORDERS = (32.0**2, 96.0**2)
"""Areas at which COCO's sizes meet."""


class Found(NamedTuple):
    """Detections of one picture on its canvas, in the order in which a network gives them."""

    boxes: Array
    """[D, 4] float32."""
    scores: Array
    """[D] float32."""
    labels: Array


Change = Callable[[GroundTruth, list[Found], np.random.Generator], tuple[GroundTruth, list[Found]]]


def plain(truth: GroundTruth, found: list[Found], _: np.random.Generator) -> tuple[GroundTruth, list[Found]]:
    """Crowds, empty pictures, areas that are not width times height, class ids with gaps: all kinds have them."""
    return truth, found


def borders(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Labels and detections whose areas are COCO's borders, or one float beside them."""
    area = rng.choice(BORDERS, len(truth.area))
    beside = rng.integers(0, 3, len(area))
    area = np.where(beside == 1, np.nextafter(area, 0), np.where(beside == 2, np.nextafter(area, 1e9), area))
    for one in found:
        width = rng.choice([16.0, 32.0, 64.0, 96.0, 144.0], len(one.boxes))
        one.boxes[:, :2] = np.floor(one.boxes[:, :2])
        one.boxes[:, 2] = one.boxes[:, 0] + width
        one.boxes[:, 3] = one.boxes[:, 1] + rng.choice(BORDERS, len(width)) / width
    return truth._replace(area=area), found


def equal_scores(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """One score for all detections, or two."""
    return truth, [one._replace(scores=rng.choice([0.5, 0.25], len(one.scores))) for one in found]


def at_thresholds(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Whole numbers, and detections that overlap a label by exactly 0.5, 0.55, ... 0.95 or 1."""
    corner = np.floor(truth.boxes[:, :2] / 2)
    boxes = np.concatenate([corner, corner + 20 * rng.integers(1, 12, (len(corner), 2))], axis=1)
    truth = truth._replace(boxes=boxes, area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    exact = []
    for place, one in enumerate(found):
        rows = slice(truth.offsets[place], truth.offsets[place + 1])
        near = np.repeat(boxes[rows], 2, axis=0)
        width = near[:, 2] - near[:, 0]
        near[:, 2] = near[:, 0] + width * rng.integers(10, 21, len(near)) / 20
        scores = rng.choice([0.25, 0.5, 0.75], len(near))
        exact.append(Found(near, scores, np.repeat(truth.labels[rows], 2)) if len(near) else one)
    return truth, exact


def many(truth: GroundTruth, found: list[Found], rng: np.random.Generator) -> tuple[GroundTruth, list[Found]]:
    """Up to 400 detections of a picture, most of them of one class: COCO looks at 100 of each."""
    more = []
    for one in found:
        count = int(rng.integers(101, 400))
        corner = rng.uniform(0, 500, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(2, 140, (count, 2))], axis=1)
        labels = np.where(rng.random(count) < 0.8, 0, rng.integers(0, len(truth.classes.names), count))
        scores = np.round(rng.random(count), int(rng.choice([1, 2, 6])))
        order = rng.permutation(count + len(one.scores))
        every = (np.concatenate(pair)[order] for pair in zip(one, (boxes, scores, labels), strict=True))
        more.append(Found(*every))
    return truth, more


def missing_classes(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Labels of the first class alone, detections of all; and pictures of which nothing was found."""
    empty = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
    kept = [one if rng.random() < 0.6 else empty for one in found]
    return truth._replace(labels=np.zeros_like(truth.labels)), kept


def odd_ids(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Ids of pictures and classes in no order: 0, and more than 32 bits, or 53, hold."""
    count, classes = len(truth.image_ids), len(truth.classes.names)
    ids = rng.permutation([-3, 0, 2**31, 2**32 + 1, 2**53 + 1, 2**53 + 2, 2**60])[:count]
    class_ids = tuple(rng.permutation([0, 1, 90, 2**31 + 5, 2**40, 3])[:classes].tolist())
    return truth._replace(image_ids=ids, classes=ClassNames(truth.classes.names, class_ids)), found


def crowded(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Most labels are crowds, which many detections may lie in."""
    return truth._replace(crowd=rng.random(len(truth.labels)) < 0.7), found


def huge_and_tiny(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Everything a thousand times larger, or smaller: pictures of 640,000 pixels a side, and of one."""
    factor = float(rng.choice([1024.0, 1 / 1024]))
    side = max(1, int(SIDE * factor))
    truth = truth._replace(
        boxes=truth.boxes * factor,
        area=truth.area * factor**2,
        heights=np.full_like(truth.heights, side),
        widths=np.full_like(truth.widths, side),
    )
    return truth, [one._replace(boxes=one.boxes * factor) for one in found]


def degenerate(
    truth: GroundTruth, found: list[Found], rng: np.random.Generator
) -> tuple[GroundTruth, list[Found]]:
    """Lines and points among labels and detections, areas of 0, and detections wholly outside the picture."""
    boxes = truth.boxes.copy()
    for place in (2, 3):
        flat = rng.random(len(boxes)) < 0.3
        boxes[flat, place] = boxes[flat, place - 2]
    area = np.where(rng.random(len(boxes)) < 0.3, 0.0, truth.area)
    for one in found:
        flat = rng.random(len(one.boxes)) < 0.4
        one.boxes[flat, 2] = one.boxes[flat, 0]
        away = rng.random(len(one.boxes)) < 0.2
        one.boxes[away] += 2000.0
    return truth._replace(boxes=boxes, area=area), found


IN_A_FILE: tuple[Change, ...] = (plain, equal_scores, at_thresholds, many, missing_classes, odd_ids, crowded)
DIRECT: tuple[Change, ...] = (borders, huge_and_tiny, degenerate)
"""Kinds that a reader would mend, or that need a picture of another size."""
KINDS = IN_A_FILE + DIRECT
