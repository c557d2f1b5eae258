"""The kinds of shape that the generated pictures hold: outlines, and how they are posed.

Every shape is a polygon in the square [-1, 1] x [-1, 1] (y down), with holes where it has any, so that its
extents and area are known without drawing it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from foveal.types import Array


class Shape(NamedTuple):
    """One kind of shape and how freely it may be posed without becoming another kind."""

    outline: Array
    """[P, 2] float64 polygon."""
    holes: tuple[Array, ...]
    turn: float
    """Largest rotation either way, in degrees."""
    stretch: float
    """Largest factor between its sides, either way."""


def _circle(
    radius: float = 1.0, centre: tuple[float, float] = (0, 0), arc: tuple[float, float] = (0, 360)
) -> Array:
    angles = np.radians(np.linspace(*arc, 73))
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], 1) * radius + np.array(centre))


def _regular(corners: int, inner: float | None = None) -> Array:
    """Regular polygon with a corner on top; with ``inner``, a star whose notches lie at that radius."""
    steps = corners * (2 if inner else 1)
    angles = np.arange(steps) * 2 * np.pi / steps - np.pi / 2
    radii = np.where(np.arange(steps) % 2 == 1, inner, 1.0) if inner else np.ones(steps)
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None])


def _heart() -> Array:
    t = np.linspace(0, 2 * np.pi, 73)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], 1)


def _crescent() -> Array:
    outer = _circle(1.0, (0, 0), (55, 305))
    # The inner arc joins the two tips of the outer one around a centre to the right.
    centre = 0.55
    tip = outer[-1] - [centre, 0]
    half = np.degrees(np.arctan2(-tip[1], -tip[0]))
    inner = _circle(float(np.hypot(*tip)), (centre, 0), (180 + half, 180 - half))
    return np.concatenate([outer, inner])


def _drop() -> Array:
    return np.concatenate([_circle(0.62, (0, 0.38), (-28, 208)), [[0.0, -1.0]]])


def _flower() -> Array:
    angles = np.linspace(0, 2 * np.pi, 121)[:-1]
    radii = 0.74 + 0.26 * np.cos(5 * angles)
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None])


def _points(*corners: float) -> Array:
    return np.array(corners, dtype=float).reshape(-1, 2)


def _fitted(outline: Array, holes: tuple[Array, ...] = (), turn: float = 180, stretch: float = 1.0) -> Shape:
    """Shape with its proportions kept, its longer side from -1 to 1."""
    low, high = outline.min(0), outline.max(0)
    centre, half = (low + high) / 2, (high - low).max() / 2
    return Shape((outline - centre) / half, tuple((hole - centre) / half for hole in holes), turn, stretch)


@cache
def kinds() -> dict[str, Shape]:
    """The shapes by name, the most different ones first."""
    third = 0.36
    return {
        "circle": _fitted(_circle(), stretch=1.12),
        "square": _fitted(_points(-1, -1, 1, -1, 1, 1, -1, 1), stretch=1.12),
        "triangle": _fitted(_regular(3), stretch=1.3),
        "star": _fitted(_regular(5, 0.42), stretch=1.15),
        "cross": _fitted(
            _points(
                *(-third, -1, third, -1, third, -third, 1, -third, 1, third, third, third),
                *(third, 1, -third, 1, -third, third, -1, third, -1, -third, -third, -third),
            ),
            stretch=1.15,
        ),
        "ring": _fitted(_circle(), (_circle(0.55),), stretch=1.12),
        "heart": _fitted(_heart(), turn=35, stretch=1.15),
        "hexagon": _fitted(_regular(6), stretch=1.08),
        "crescent": _fitted(_crescent(), stretch=1.1),
        "arrow": _fitted(
            _points(-1, -0.35, 0.1, -0.35, 0.1, -1, 1, 0, 0.1, 1, 0.1, 0.35, -1, 0.35), stretch=1.3
        ),
        "bar": _fitted(_points(-1, -1, 1, -1, 1, 1, -1, 1) * [1, 0.3], stretch=1.0),
        "half disc": _fitted(_circle(arc=(180, 360)), stretch=1.1),
        "drop": _fitted(_drop(), turn=50, stretch=1.1),
        "frame": _fitted(
            _points(-1, -1, 1, -1, 1, 1, -1, 1),
            (_points(-0.55, -0.55, 0.55, -0.55, 0.55, 0.55, -0.55, 0.55),),
        ),
        "bolt": _fitted(
            _points(0.25, -1, -0.75, 0.15, -0.05, 0.15, -0.35, 1, 0.75, -0.3, 0.08, -0.3), turn=35
        ),
        "flower": _fitted(_flower(), stretch=1.1),
    }


def pose_points(points: Array, pose: Array) -> Array:
    """Polygon points of a shape in picture pixels.

    pose: [5] centre x, centre y, half width, half height (before turning), angle in radians.
    """
    cos, sin = np.cos(pose[4]), np.sin(pose[4])
    scaled = points * pose[2:4]
    return np.asarray(scaled @ np.array([[cos, sin], [-sin, cos]]) + pose[:2])


def polygon_area(points: Array) -> float:
    """Area inside a polygon (shoelace formula)."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def shape_area(shape: Shape, pose: Array) -> float:
    """Area that a posed shape covers, in square pixels."""
    whole = polygon_area(shape.outline) - sum(polygon_area(hole) for hole in shape.holes)
    return float(whole * pose[2] * pose[3])
