"""Canvas, anchors and length of training, chosen from a data set's own figures."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foveal.config.schema import Model
from foveal.data.records import Records
from foveal.diagnosis.anchors.canvas_boxes import boxes_on_canvas
from foveal.diagnosis.anchors.check import reachable
from foveal.diagnosis.anchors.octaves import AnchorFit, fit_anchors
from foveal.diagnosis.anchors.search import Candidate, with_anchors
from foveal.ops.letterbox import STRIDE_MULTIPLE
from foveal.types import Array

SMALLEST_CANVAS, LARGEST_CANVAS = 320, 512
"""Longer side in pixels. The upper end keeps a step at seconds on two CPU cores."""
MEDIAN_SIDE, SMALL_SIDE = 64, 32
"""The canvas grows until the median box and the smallest tenth have at least these sides, in pixels."""
STEPS, BATCH_SIZE = 1000, 8
FEWEST_EPOCHS, MOST_EPOCHS = 12, 100
VALIDATIONS = 10
SECONDS_PER_PIXEL = 2.6 / (8 * 416 * 312)
"""Measured: a training step of 8 pictures of 416x312 with MobileNetV2 on two CPU cores."""


class CanvasFit(NamedTuple):
    """The canvas."""

    height: int
    width: int
    capped: bool
    """A larger canvas would have shown the boxes better."""


class LengthFit(NamedTuple):
    """How long to train."""

    epochs: int
    steps: int
    validate_every: int
    minutes: float
    """On two CPU cores, roughly."""


class DataFit(NamedTuple):
    """Everything that ``foveal init`` derives from the pictures and boxes."""

    canvas: CanvasFit
    small_side: float
    """Tenth percentile and median of the box sides (square root of the area), in canvas pixels."""
    median_side: float
    anchors: AnchorFit
    recall: float
    """Best possible, at IoU 0.5: of these anchors, and of RetinaNet's own."""
    paper_recall: float
    length: LengthFit


def fit_data(records: Records) -> DataFit:
    """Proposes settings for a training split that has at least one box which is no crowd."""
    canvas = canvas_of(records)
    size = canvas.height, canvas.width
    seen = boxes_on_canvas(records, size)
    anchors = fit_anchors(seen.shapes.astype(np.float64))
    fitted = Candidate(anchors.sizes, anchors.aspect_ratios, anchors.min_level, "octaves")
    return DataFit(
        canvas,
        float(np.quantile(seen.sides, 0.1)),
        float(np.median(seen.sides)),
        anchors,
        reachable(with_anchors(Model(), fitted), size, seen),
        reachable(Model(), size, seen),
        fit_length(len(records), canvas.height * canvas.width),
    )


def canvas_of(records: Records) -> CanvasFit:
    """``fit_canvas`` of a split that has at least one box which is no crowd."""
    boxes = records.boxes[~records.crowd]
    picture = np.repeat(np.arange(len(records)), np.diff(records.offsets))[~records.crowd]
    longer = np.maximum(records.heights, records.widths)[picture]
    return fit_canvas(
        records.heights, records.widths, np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)) / longer
    )


def fit_canvas(heights: Array, widths: Array, shares: Array) -> CanvasFit:
    """[P] picture sizes and [M] box sides as shares of their picture's longer side -> the canvas.

    As wide as tall where pictures of both orientations occur; never larger than the larger pictures.
    """
    ratio = heights / widths
    low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
    if low < 1 < high:
        middle = 1.0
    small, median = float(np.quantile(shares, 0.1)), float(np.median(shares))
    wanted = max(MEDIAN_SIDE / median, SMALL_SIDE / small, SMALLEST_CANVAS)
    stored = float(np.quantile(np.maximum(heights, widths), 0.9))
    longer = min(wanted, stored, LARGEST_CANVAS)
    longer = _round_up(longer)
    height = longer if middle >= 1 else _round_up(longer * middle)
    width = longer if middle <= 1 else _round_up(longer / middle)
    return CanvasFit(height, width, min(wanted, stored) > LARGEST_CANVAS)


def _round_up(side: float) -> int:
    return math.ceil(round(side, 3) / STRIDE_MULTIPLE) * STRIDE_MULTIPLE


def fit_length(pictures: int, pixels: int) -> LengthFit:
    """About 1,000 steps of 8 pictures, but no fewer than 12 epochs and no more than 100."""
    per_epoch = max(1, pictures // BATCH_SIZE)  # training leaves out an incomplete last batch
    epochs = min(max(round(STEPS / per_epoch), FEWEST_EPOCHS), MOST_EPOCHS)
    steps = epochs * per_epoch
    minutes = steps * BATCH_SIZE * pixels * SECONDS_PER_PIXEL / 60
    return LengthFit(epochs, steps, max(1, epochs // VALIDATIONS), minutes)
