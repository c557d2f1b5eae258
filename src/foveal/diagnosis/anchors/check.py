"""What a configuration's anchors can reach of a data set's boxes, at the resolution that is trained at.

Nothing is modelled: the boxes are letterboxed as the loader does it, the anchors are those that the head lays, the
objects are those that the assigner gives. Augmentation is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from foveal.build import as_seen, build_anchors, build_assigner
from foveal.config.load import data_of
from foveal.config.schema import Config, IouAssigner, Model
from foveal.data.records import Records
from foveal.diagnosis.anchors.canvas_boxes import CanvasBoxes, boxes_on_canvas
from foveal.heads.anchor_decoupled.targets import Assigner
from foveal.ops.iou import box_iou
from foveal.ops.letterbox import canvas_size
from foveal.types import AnchorLevel, Array

REFERENCE_IOU = 0.5
"""IoU that counts as reached where the assigner has no threshold of its own (ATSS)."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
PAIRS_AT_ONCE = 1 << 18
"""Boxes times anchors of a cell that are compared at a time."""
COCO_SIZES = (("small", 0.0, 32.0), ("medium", 32.0, 96.0), ("large", 96.0, float("inf")))
"""COCO's sizes by the side of a square of the box's area: here in pixels of the canvas."""


class Level(NamedTuple):
    """One pyramid level."""

    name: str
    """``P3``."""
    stride: int
    sizes: tuple[float, ...]
    """Sides of its anchors in pixels, rising, each once."""
    anchors: int


class Best(NamedTuple):
    """Each box's anchor of highest IoU, whoever else wants it."""

    iou: Array
    """[M] float32."""
    level: Array
    """[M] index of the level; the finest of equals."""
    anchor: Array
    """[M, 4] xyxy, canvas pixels."""


class AnchorCheck(NamedTuple):
    """Boxes on the canvas and what they reach. Shares are of boxes that are no crowd."""

    canvas: tuple[int, int]
    """Height and width."""
    boxes: CanvasBoxes
    levels: tuple[Level, ...]
    per_cell: int
    """Anchors of one cell."""
    assigner: str
    """``iou`` or ``atss``."""
    low_quality: bool
    """Whether the IoU rule gives a box its best anchors whatever their IoU."""
    threshold: float
    """IoU from which an anchor is an object; under ATSS ``REFERENCE_IOU``."""
    best: Best
    positives: Array
    """[M, L] anchors that are the box's objects, as configured."""
    otherwise: Array | None
    """[M, L] the same with the low-quality rule the other way; None under ATSS."""

    @property
    def rule(self) -> str:
        """``ATSS``, or ``IoU 0.5, low-quality matches on``."""
        if self.assigner == "atss":
            return "ATSS"
        return f"IoU {self.threshold:g}, low-quality matches {'on' if self.low_quality else 'off'}"

    @property
    def strict(self) -> Array:
        """[M, L] objects without the low-quality rule."""
        return self.otherwise if self.low_quality and self.otherwise is not None else self.positives

    @property
    def lenient(self) -> Array:
        """[M, L] objects with the low-quality rule; under ATSS as they are."""
        return self.positives if self.low_quality or self.otherwise is None else self.otherwise

    def recall(self, threshold: float | None = None) -> float:
        """Best possible recall: share of boxes whose best anchor reaches the IoU; 1 where there is no box."""
        return share(self.best.iou >= (self.threshold if threshold is None else threshold))

    @property
    def reached(self) -> float:
        """Share of boxes with an object as configured."""
        return share(self.positives.any(axis=1))

    @property
    def unreached(self) -> Array:
        """Rows of boxes that have no object as configured, those of lowest IoU first."""
        rows = np.flatnonzero(~self.positives.any(axis=1))
        return rows[np.argsort(self.best.iou[rows], kind="stable")]

    def pictures_without(self, strict: bool = False) -> Array:
        """Places (in ``boxes.pictures``) of pictures that have boxes and no object."""
        counts = (self.strict if strict else self.positives).sum(axis=1)
        sums = np.bincount(self.boxes.owner, counts, len(self.boxes.pictures))
        return np.flatnonzero((sums == 0) & (np.diff(self.boxes.offsets) > 0))

    @property
    def median_side(self) -> float:
        """Square root of the median box's area in canvas pixels."""
        return float(np.median(self.boxes.sides)) if len(self.boxes.boxes) else float("nan")


def reachable(model: Model, canvas: tuple[int, int], boxes: CanvasBoxes) -> float:
    """Best possible recall at ``REFERENCE_IOU`` of a model's anchors, as ``AnchorCheck.recall`` has it."""
    return share(best_anchors(boxes.boxes, build_anchors(model, canvas)).iou >= REFERENCE_IOU)


def share(flags: ArrayLike) -> float:
    """Mean of booleans; 1 of none."""
    values = np.asarray(flags)
    return float(values.mean()) if len(values) else 1.0


def canvas_of(config: Config) -> tuple[int, int]:
    """Height and width that pictures are letterboxed onto."""
    return canvas_size(*data_of(config).image_size)


def as_trained(records: Records, config: Config) -> Records:
    """The pictures as training sees them: their tiles, where the data is tiled."""
    return as_seen(records, data_of(config), train=True)


def check_anchors(records: Records, config: Config, boxes: CanvasBoxes | None = None) -> AnchorCheck:
    """Measures a configuration's anchors on a data set.

    boxes: those of ``boxes_on_canvas`` where they are known already. A set of more than 50,000 boxes or 1,000
    pictures is measured on a part, the same every time; ``boxes.sampled`` says so.
    """
    canvas = canvas_of(config)
    boxes = boxes if boxes is not None else boxes_on_canvas(as_trained(records, config), canvas)
    anchors = build_anchors(config.model, canvas)
    rule = config.model.losses.assigner
    assigner = build_assigner(rule)
    otherwise = None
    if isinstance(rule, IouAssigner):
        other = rule.model_copy(update={"allow_low_quality": not rule.allow_low_quality})
        otherwise = count_positives(boxes, anchors, build_assigner(other))
    return AnchorCheck(
        canvas,
        boxes,
        tuple(_level(level, sizes) for level, sizes in zip(anchors, _sizes(config), strict=True)),
        len(anchors[0].cell),
        rule.name,
        isinstance(rule, IouAssigner) and rule.allow_low_quality,
        rule.fg_iou_thresh if isinstance(rule, IouAssigner) else REFERENCE_IOU,
        best_anchors(boxes.boxes, anchors),
        count_positives(boxes, anchors, assigner),
        otherwise,
    )


def _sizes(config: Config) -> list[list[float]]:
    return config.model.architecture.head.params.scaled_sizes()


def _level(level: AnchorLevel, sizes: Sequence[float]) -> Level:
    name = f"P{level.stride.bit_length() - 1}"
    return Level(name, level.stride, tuple(sorted(set(sizes))), len(level.boxes))


@torch.no_grad()
def best_anchors(boxes: Array, anchors: Sequence[AnchorLevel]) -> Best:
    """The anchor of highest IoU for each box [M, 4], over all cells of all levels.

    The overlap of a box and a shape is the product of the overlaps in x and y, and each is largest where the
    centres are nearest: for every shape of a cell only the nearest cell of the grid has to be looked at.
    """
    found = [_best_of_part(part, anchors) for part in _parts(boxes, anchors)]
    if not found:
        return Best(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    return Best(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _parts(boxes: Array, anchors: Sequence[AnchorLevel]) -> tuple[torch.Tensor, ...]:
    at_once = max(1, PAIRS_AT_ONCE // max(len(level.cell) for level in anchors))
    return torch.split(torch.from_numpy(boxes), at_once) if len(boxes) else ()


def _best_of_part(boxes: torch.Tensor, anchors: Sequence[AnchorLevel]) -> tuple[Array, Array, Array]:
    best = boxes.new_full((len(boxes),), -1.0)
    chosen = torch.zeros_like(boxes)
    index = torch.zeros(len(boxes), dtype=torch.int64)
    for number, level in enumerate(anchors):
        nearest = _nearest(level, boxes)  # [m, A, 4]
        iou, shape = box_iou(nearest, boxes[:, None]).max(dim=1)
        better = iou > best
        best = torch.where(better, iou, best)
        chosen = torch.where(better[:, None], nearest[torch.arange(len(boxes)), shape], chosen)
        index[better] = number
    return best.numpy(), index.numpy(), chosen.numpy()


def _nearest(level: AnchorLevel, boxes: torch.Tensor) -> torch.Tensor:
    """[m, A, 4] of each shape the anchor whose centre is nearest to the box's."""
    step = boxes.new_tensor([level.step[1], level.step[0]])
    limit = boxes.new_tensor([level.width - 1, level.height - 1])
    centre = (boxes[:, :2] + boxes[:, 2:])[:, None] / 2 - (level.cell[:, :2] + level.cell[:, 2:]) / 2
    cell = torch.minimum((centre / step - level.offset).round().clamp(min=0), limit)
    return level.cell + ((cell + level.offset) * step).repeat(1, 1, 2)


@torch.no_grad()
def count_positives(boxes: CanvasBoxes, anchors: Sequence[AnchorLevel], assigner: Assigner) -> Array:
    """[M, L] objects of each box on each level, picture by picture, by the assigner of training."""
    counts = np.zeros((len(boxes.boxes), len(anchors)), dtype=np.int64)
    ends = torch.tensor([len(level.boxes) for level in anchors]).cumsum(0)
    for start, end in zip(boxes.offsets[:-1].tolist(), boxes.offsets[1:].tolist(), strict=True):
        if start == end:
            continue
        matched = assigner(anchors, torch.from_numpy(boxes.boxes[start:end]))
        objects = torch.nonzero(matched >= 0).squeeze(1)
        level = torch.bucketize(objects, ends, right=True)
        np.add.at(counts, (start + matched[objects].numpy(), level.numpy()), 1)
    return counts
