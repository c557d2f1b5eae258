"""Drawing of the generated pictures: colour families, backgrounds, strokes, shapes.

Edges are smooth: masks are drawn at ``SUPERSAMPLE`` times the size and averaged.
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from foveal.data.shape_kinds import Shape, pose_points
from foveal.types import Array

SUPERSAMPLE = 4


class Family(NamedTuple):
    """Colours that a person calls by one name: ranges of hue (degrees), saturation and value."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


COLOURS: dict[str, Family] = {
    "red": Family((-6, 6), (0.78, 0.95), (0.78, 0.95)),
    "blue": Family((212, 232), (0.70, 0.92), (0.65, 0.95)),
    "yellow": Family((47, 55), (0.75, 0.95), (0.92, 1.0)),
    "green": Family((110, 145), (0.62, 0.90), (0.48, 0.75)),
    "purple": Family((266, 284), (0.55, 0.80), (0.52, 0.78)),
    "orange": Family((22, 31), (0.85, 1.0), (0.92, 1.0)),
    "teal": Family((172, 188), (0.65, 0.95), (0.60, 0.80)),
    "pink": Family((322, 340), (0.38, 0.56), (0.93, 1.0)),
    "white": Family((0, 60), (0.0, 0.05), (0.95, 1.0)),
    "black": Family((0, 360), (0.0, 0.25), (0.06, 0.14)),
}


def pick_colour(family: Family, rng: np.random.Generator) -> Array:
    """[3] float32 RGB 0..255 of one colour of the family."""
    hue, saturation, value = (rng.uniform(*span) for span in family)
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), dtype=np.float32) * 255


def draw_shape(
    canvas: Array, shape: Shape, pose: Array, colour: Array, pattern: Pattern | None, rng: np.random.Generator
) -> None:
    """Paint one shape on the canvas [H, W, 3] float32, in place: shaded, with a darker rim."""
    points = pose_points(shape.outline, pose)
    height, width = canvas.shape[:2]
    x0, y0 = np.maximum(np.floor(points.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 1, [width, height])
    fill, rim = _masks(shape, pose, (x0, y0, x1, y1))
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32) + 0.5
    # Light falls from the top left.
    light = ((pose[0] - x) + (pose[1] - y)) / (2 * max(pose[2], pose[3]))
    paint = colour * (1 + rng.uniform(0.05, 0.2) * light[..., None])
    if pattern is not None:
        share = _pattern_mask(pattern.name, x - pose[0], y - pose[1], pose)[..., None]
        paint = paint * (1 - share) + pattern.colour * share
    paint = paint * (1 - rim * rng.uniform(0.25, 0.5))
    area = canvas[y0:y1, x0:x1]
    area += (np.clip(paint, 0, 255) - area) * fill


def _masks(shape: Shape, pose: Array, window: tuple[int, int, int, int]) -> tuple[Array, Array]:
    """Coverage [h, w, 1] in 0..1 of a shape and of its rim inside a window (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = window
    size = ((x1 - x0) * SUPERSAMPLE, (y1 - y0) * SUPERSAMPLE)
    mask, edge = Image.new("L", size), Image.new("L", size)
    pen, edge_pen = ImageDraw.Draw(mask), ImageDraw.Draw(edge)
    thickness = max(1, round(0.1 * SUPERSAMPLE * min(pose[2], pose[3])))
    for place, polygon in enumerate((shape.outline, *shape.holes)):
        # Pillow's integer coordinates are pixel centres, ours are pixel corners.
        fine = (pose_points(polygon, pose) - [x0, y0]) * SUPERSAMPLE - 0.5
        corners = [(float(px), float(py)) for px, py in fine]
        pen.polygon(corners, fill=255 if place == 0 else 0)
        edge_pen.line([*corners, corners[0]], fill=255, width=thickness)
    fill, rim = (np.asarray(m.reduce(SUPERSAMPLE), dtype=np.float32)[..., None] / 255 for m in (mask, edge))
    return fill, rim


class Pattern(NamedTuple):
    """A second colour on a shape."""

    name: str
    colour: Array


PATTERNS = ("stripes", "dots", "checks")


def _pattern_mask(name: str, x: Array, y: Array, pose: Array) -> Array:
    """Share of the second colour at offsets (x, y) from the shape's centre, turned with the shape."""
    cos, sin = np.cos(pose[4]), np.sin(pose[4])
    frequency = 3 * np.pi / max(pose[2], pose[3])
    u, v = (x * cos + y * sin) * frequency, (y * cos - x * sin) * frequency
    if name == "stripes":
        wave = np.sin(u)
    elif name == "checks":
        wave = np.sin(u) * np.sin(v) * 2
    else:
        wave = np.cos(u) + np.cos(v) - 0.7
    return np.asarray(np.clip(wave / frequency + 0.5, 0, 1))


def draw_background(size: int, rng: np.random.Generator) -> Array:
    """[size, size, 3] float32 backdrop in quiet colours: gradient, clouds, stripes, checks or vignette."""
    first, second = _quiet_colour(rng), _quiet_colour(rng)
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    match rng.integers(5):
        case 0:
            mix = u + 0.5
        case 1:
            mix = _clouds(size, int(rng.integers(3, 9)), rng)
        case 2:
            mix = 0.5 + 0.3 * np.sin(u * rng.uniform(20, 90)) + 0.3 * v
        case 3:
            cells = rng.uniform(12, 40)
            mix = 0.5 + 0.25 * np.clip(8 * np.sin(u * cells) * np.sin(v * cells), -1, 1) + 0.3 * u
        case _:
            mix = 1.6 * np.hypot(x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3))
    mix = np.clip(mix, 0, 1)[..., None]
    return np.asarray(first * (1 - mix) + second * mix, dtype=np.float32)


def draw_strokes(canvas: Array, count: int, rng: np.random.Generator) -> Array:
    """Canvas with thin lines, arcs and squiggles of any colour on it: things that belong to no class."""
    size = canvas.shape[0]
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).resize(
        (size * 2, size * 2), Image.Resampling.NEAREST
    )
    pen = ImageDraw.Draw(picture)
    families = list(COLOURS.values())
    for _ in range(count):
        colour = pick_colour(families[rng.integers(len(families))], rng)
        shade = tuple(int(c) for c in colour * rng.uniform(0.6, 1.0))
        turns = np.cumsum(rng.normal(0, rng.uniform(0, 0.5), 12)) + rng.uniform(0, 2 * np.pi)
        step = rng.uniform(0.02, 0.09) * size * 2
        path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * step, 0) + rng.uniform(0, size * 2, 2)
        width = max(2, round(rng.uniform(0.006, 0.02) * size * 2))
        pen.line([(float(a), float(b)) for a, b in path], fill=shade, width=width, joint="curve")
    return np.asarray(picture.reduce(2), dtype=np.float32).copy()


def add_grain(canvas: Array, rng: np.random.Generator) -> Array:
    """[H, W, 3] uint8: the canvas with a camera's noise on it."""
    height, width = canvas.shape[:2]
    noise = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(1, 6)
    return np.asarray(np.clip(canvas + noise + 0.5, 0, 255), dtype=np.uint8)


def _quiet_colour(rng: np.random.Generator) -> Array:
    return pick_colour(Family((0, 360), (0.04, 0.38), (0.28, 0.86)), rng)


def _clouds(size: int, cells: int, rng: np.random.Generator) -> Array:
    """[size, size] smooth noise around 0.5."""
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
