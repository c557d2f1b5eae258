"""Sizes at equal ratios that fit measured boxes: RetinaNet's pattern, begun elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foveal.types import Array

Sizes = Sequence[Sequence[float]]

OCTAVES = tuple(2 ** (step / 3) for step in range(3))
PAPER_RATIOS = (0.5, 1.0, 2.0)
BASES_PER_STRIDE = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
"""Smallest anchor of the finest level, in strides, from which the fit chooses (the paper: 4)."""
SMALL_OBJECT = 16
"""Median box side in pixels under which the pyramid starts at P2: two cells of P3 hardly see such a box."""
FINEST, COARSEST, FEWEST_LEVELS = 3, 7, 3
MOST_BOXES = 20_000


class AnchorFit(NamedTuple):
    """Proposed anchors."""

    sizes: list[list[float]]
    aspect_ratios: list[float]
    min_level: int


def fit_anchors(shapes: Array) -> AnchorFit:
    """Keeps RetinaNet's pattern (sizes double per level, three an octave) and chooses where it starts.

    shapes: [M, 2] width and height of the boxes in pixels at training size, M > 0, all > 0.
    The finest level is P3, or P2 where the median side is under 16 px; there are as many levels as the largest
    boxes need (98th percentile), at least three, at most up to P7. Ratios: the median and the spread of the
    middle 80 % of height / width, or 0.5, 1, 2 where that is close.
    """
    if len(shapes) > MOST_BOXES:
        shapes = shapes[np.linspace(0, len(shapes) - 1, MOST_BOXES).astype(int)]
    sides = np.sqrt(shapes.prod(axis=1))
    ratios = ratios_of(shapes)
    min_level = FINEST - 1 if np.median(sides) < SMALL_OBJECT else FINEST
    largest = float(np.quantile(sides, 0.98))
    best: tuple[float, list[list[float]]] | None = None
    for factor in BASES_PER_STRIDE:
        sizes = octave_sizes(factor * 2**min_level, largest, COARSEST - min_level + 1)
        fit = float(best_iou(shapes, sizes, ratios).mean())
        if best is None or fit > best[0]:
            best = (fit, sizes)
    assert best is not None
    return AnchorFit(best[1], ratios, min_level)


def best_iou(shapes: Array, sizes: Sizes, ratios: Sequence[float]) -> Array:
    """[M] IoU of each shape with the anchor shape most like it, both on one centre."""
    sides = np.concatenate([np.asarray(level, dtype=np.float64) for level in sizes])
    root = np.sqrt(np.asarray(ratios, dtype=np.float64))
    widths, heights = (sides[:, None] / root).ravel(), (sides[:, None] * root).ravel()
    overlap = np.minimum(shapes[:, :1], widths) * np.minimum(shapes[:, 1:], heights)
    union = shapes.prod(axis=1)[:, None] + widths * heights - overlap
    best: Array = (overlap / union).max(axis=1)
    return best


def ratios_of(shapes: Array, count: int = 3) -> list[float]:
    """Height / width: the median and the spread of the middle 80 %, or 0.5, 1, 2 where that is close.

    count: 1 gives the median alone (1 where that is close), 2 its two sides.
    """
    logs = np.log(shapes[:, 1] / shapes[:, 0])
    low, middle, high = np.quantile(logs, [0.1, 0.5, 0.9])
    if count == 1:
        return [1.0 if abs(middle) < np.log(1.2) else _ratio(middle)]
    spread = float(np.clip((high - low) / 2, np.log(1.4), np.log(3)))
    if count == 2:
        return [_ratio(middle + spread / 2 * side) for side in (-1, 1)]
    found = [middle + spread * side for side in (-1, 0, 1)]
    if np.abs(found - np.log(PAPER_RATIOS)).max() < np.log(1.2):
        return list(PAPER_RATIOS)
    return [_ratio(log) for log in found]


def _ratio(log: float) -> float:
    """Two decimals, and two digits of what is smaller: no ratio becomes 0."""
    ratio = float(np.exp(log))
    return round(ratio, 2) if ratio >= 0.1 else float(f"{ratio:.2g}")


def octave_sizes(base: float, largest: float, most: int, scales: int = 3) -> list[list[float]]:
    """Sides per level: ``scales`` of them an octave from ``base`` on, doubling per level.

    As many levels as sides up to ``largest`` need, at least three, at most ``most``.
    """
    octaves = [2 ** (step / scales) for step in range(scales)]
    levels = FEWEST_LEVELS
    while levels < most and base * 2 ** (levels - 1) * octaves[-1] < largest:
        levels += 1
    return [[round(base * 2**level * octave, 1) for octave in octaves] for level in range(levels)]
