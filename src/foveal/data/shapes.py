"""A generated data set: shapes on varied backgrounds, drawn on demand, so that nothing needs downloading.

Everything about a picture follows from the seed and its id: the labels are laid out up front, the pixels are
drawn when asked for. Picture p is the same in a set of 10 and in a set of 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from foveal.data import shape_drawing as drawing
from foveal.data import shape_kinds as geometry
from foveal.data.coco_writer import write_coco
from foveal.data.records import Records
from foveal.errors import UsageError
from foveal.types import Array, ClassNames

MOST_OBJECTS = 7
LARGEST_SHARE = 0.6
"""Longest side of the largest object, as a share of the picture's side."""
LEAST_VISIBLE = 0.6
"""Share of an object's own area that stays visible under those drawn over it, at least."""
_TRIES = 12


class Design(NamedTuple):
    """What makes a class: a kind of shape in a family of colours, and perhaps a pattern in a second one."""

    kind: str
    colour: str
    pattern: str | None = None
    second: str | None = None

    @property
    def name(self) -> str:
        """As a person would say it."""
        return f"{self.colour} {self.kind}" + (f" with {self.second} {self.pattern}" if self.pattern else "")


@dataclass(frozen=True, kw_only=True)
class ShapesRecords(Records):
    """Records whose pictures are drawn instead of read.

    The drawing goes by picture id, so that a part of the set, or one with other labels, draws the same pictures.
    """

    seed: int
    layout: Array
    """[P + 1] int64: picture id i's shapes are rows ``layout[i - 1]:layout[i]`` of the two columns below."""
    poses: Array
    """[N, 5] float64: centre x, y, half width, half height, angle of each shape; later ones lie on top."""
    designs: Array
    """[N] int64: index of each shape's design, whatever its label is called."""

    def load(self, picture: int) -> np.ndarray:
        """Draw one picture, [H, W, 3] uint8 RGB; the same pixels every time."""
        image_id = int(self.image_ids[picture])
        span = slice(int(self.layout[image_id - 1]), int(self.layout[image_id]))
        rng = np.random.default_rng((self.seed % 2**32, image_id, 1))
        canvas = drawing.draw_background(int(self.heights[picture]), rng)
        canvas = drawing.draw_strokes(canvas, int(rng.integers(0, 6)), rng)
        for pose, design in zip(self.poses[span], self.designs[span], strict=True):
            _draw_object(canvas, design_of(int(design)), pose, rng)
        return drawing.add_grain(canvas, rng)


def make_shapes(
    pictures: int = 256, classes: int = 3, size: int = 160, seed: int = 0, empty_share: float = 0.1
) -> ShapesRecords:
    """Lay out a set of square pictures of ``size`` pixels with 1 to 7 shapes each, a share of them empty.

    Boxes are the extents of the whole shape, tight to a fraction of a pixel. Shapes may cover one another,
    but each keeps ``LEAST_VISIBLE`` of its area. Different seeds give different pictures of the same classes.
    UsageError where a number is out of range.
    """
    if pictures < 1 or size < 32 or not 0 <= empty_share <= 1:
        raise UsageError(
            f"shapes: pictures {pictures} must be >= 1, size {size} >= 32, empty_share {empty_share} in 0..1"
        )
    if not 1 <= classes <= design_count():
        raise UsageError(f"shapes: classes is {classes}, but there are 1 to {design_count()} to choose from")
    poses, labels, boxes, counts = [], [], [], []
    for image_id in range(1, pictures + 1):
        rng = np.random.default_rng((seed % 2**32, image_id, 0))
        scene = _Scene(size, rng)
        if rng.random() >= empty_share:
            scene.fill(int(rng.integers(1, MOST_OBJECTS + 1)), classes)
        counts.append(len(scene.labels))
        poses += scene.poses
        labels += scene.labels
        boxes += scene.boxes
    box_array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    label_array = np.array(labels, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sides = np.full(pictures, size, dtype=np.int64)
    return ShapesRecords(
        root=Path("shapes"),
        files=np.array([f"shape_{image_id:06d}.png" for image_id in range(1, pictures + 1)]),
        image_ids=np.arange(1, pictures + 1, dtype=np.int64),
        heights=sides,
        widths=sides.copy(),
        offsets=offsets,
        layout=offsets,
        boxes=box_array,
        labels=label_array,
        crowd=np.zeros(len(label_array), dtype=bool),
        area=(box_array[:, 2:] - box_array[:, :2]).prod(1),
        classes=ClassNames(tuple(design_of(k).name for k in range(classes)), tuple(range(1, classes + 1))),
        seed=seed,
        poses=np.array(poses, dtype=np.float64).reshape(-1, 5),
        designs=label_array.copy(),
    )


def design_count() -> int:
    """How many different classes there are."""
    kinds, colours = len(geometry.kinds()), len(drawing.COLOURS)
    return kinds * colours * (1 + len(drawing.PATTERNS) * (colours - 1))


def design_of(index: int) -> Design:
    """Design of class ``index``: every kind first, then other colours, then patterns; each exists once."""
    kinds, colours = list(geometry.kinds()), list(drawing.COLOURS)
    rest, kind = divmod(index, len(kinds))
    rest, turn = divmod(rest, len(colours))
    colour = (kind + turn) % len(colours)
    if rest == 0:
        return Design(kinds[kind], colours[colour])
    other, pattern = divmod(rest - 1, len(drawing.PATTERNS))
    second = colours[(colour + 1 + other) % len(colours)]
    return Design(kinds[kind], colours[colour], drawing.PATTERNS[pattern], second)


def write_shapes(records: Records, folder: str | Path) -> Path:
    """Write the pictures as PNG into ``folder``/images and their labels as COCO JSON; the JSON's path."""
    folder = Path(folder)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for picture in range(len(records)):
        Image.fromarray(records.load(picture)).save(images / str(records.files[picture]))
    annotations = folder / "annotations.json"
    write_coco(records, annotations)
    return annotations


class _Scene:
    """One picture's objects while they are being placed."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self.rng = rng
        self.poses: list[Array] = []
        self.labels: list[int] = []
        self.boxes: list[Array] = []
        self._coverable: list[float] = []

    def fill(self, count: int, classes: int) -> None:
        """Place up to ``count`` objects; at least one."""
        for _ in range(count):
            label = int(self.rng.integers(classes))
            shape = geometry.kinds()[design_of(label).kind]
            for _ in range(_TRIES):
                if self._place(label, shape):
                    break

    def _place(self, label: int, shape: geometry.Shape) -> bool:
        pose, box = self._pose(shape)
        covered = [_overlap(box, below) for below in self.boxes]
        if any(c > left for c, left in zip(covered, self._coverable, strict=True)):
            return False
        # A shape over a hole or in a notch would be a puzzle; its box says how much it can hide at most.
        self._coverable = [left - c for c, left in zip(covered, self._coverable, strict=True)]
        self._coverable.append((1 - LEAST_VISIBLE) * geometry.shape_area(shape, pose))
        self.poses.append(pose)
        self.labels.append(label)
        self.boxes.append(box)
        return True

    def _pose(self, shape: geometry.Shape) -> tuple[Array, Array]:
        """Random pose wholly inside the picture, and its box [4]."""
        smallest = max(10.0, min(0.1 * self.size, 20.0))
        longest = np.exp(self.rng.uniform(np.log(smallest), np.log(LARGEST_SHARE * self.size)))
        stretch = np.exp(self.rng.uniform(-1, 1) * np.log(shape.stretch) / 2)
        angle = np.radians(self.rng.uniform(-shape.turn, shape.turn))
        pose = np.array([0.0, 0.0, stretch, 1 / stretch, angle])
        points = geometry.pose_points(shape.outline, pose)
        pose[2:4] *= longest / np.ptp(points, axis=0).max()
        points = geometry.pose_points(shape.outline, pose)
        low, high = points.min(0), points.max(0)
        pose[:2] = self.rng.uniform(-low, self.size - high)
        return pose, np.concatenate([low + pose[:2], high + pose[:2]])


def _overlap(first: Array, second: Array) -> float:
    """Area shared by two boxes [4]."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return float(max(0.0, width) * max(0.0, height))


def _draw_object(canvas: Array, design: Design, pose: Array, rng: np.random.Generator) -> None:
    pattern = None
    if design.pattern is not None and design.second is not None:
        second = drawing.pick_colour(drawing.COLOURS[design.second], rng)
        pattern = drawing.Pattern(design.pattern, second)
    colour = drawing.pick_colour(drawing.COLOURS[design.colour], rng)
    drawing.draw_shape(canvas, geometry.kinds()[design.kind], pose, colour, pattern, rng)
