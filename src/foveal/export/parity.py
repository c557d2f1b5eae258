"""The same detections from the exported file as from torch: on real pictures, in batches, on two canvases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.config.schema import PostprocessorParams
from foveal.metrics.agreement import Agreement, Found, Limits, Tolerance, compare_all
from foveal.ops.letterbox import STRIDE_MULTIPLE, canvas_size
from foveal.runtime.exported import Detect
from foveal.types import BatchDetections

BATCHES = (1, 3, 8)
SMALLEST_SIDE = 2 * STRIDE_MULTIPLE


class NothingFoundError(Exception):
    """Neither side has a detection on any picture: that is no comparison."""


class Parity(NamedTuple):
    """What one comparison gave."""

    canvas: tuple[int, int]
    batch: int
    pictures: int
    agreement: Agreement
    worst: slice
    """Places of the batch that holds the picture that differs most."""


def canvases(canvas: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The model's own (height, width), and three quarters of it, at least 64 pixels a side."""
    height, width = (max(SMALLEST_SIDE, side * 3 // 4) for side in canvas)
    other = canvas_size(height, width)
    # So small a canvas has no smaller one.
    return canvas, other if other != canvas else (canvas[0], canvas[1] + STRIDE_MULTIPLE)


def limits_of(params: PostprocessorParams) -> Limits:
    """Where rounding may decide."""
    most = params.detections_per_img
    return Limits(params.score_thresh, params.nms_thresh, 1 << 62 if most is None else most)


def compare_runs(
    reference: Detect,
    exported: Detect,
    images: Sequence[Tensor],
    limits: Limits,
    tolerance: Tolerance,
    step: Callable[[int], None] = lambda count: None,
) -> Iterator[Parity]:
    """One ``Parity`` for each size of batch; torch goes picture by picture, once.

    images: [1, 3, H, W] each, of one canvas. step: told how many pictures have been looked at.
    NothingFoundError where there is no detection on either side.
    """
    expected = []
    for image in images:
        expected += lists_of(reference(image))
        step(1)
    for size in BATCHES:
        found: list[Found] = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            found += lists_of(exported(torch.cat(list(part))))
            step(len(part))
        pairs = list(zip(found, expected, strict=True))
        try:
            agreement = compare_all(pairs, tolerance, limits)
        except ValueError as error:
            raise NothingFoundError(str(error)) from error
        canvas = (images[0].shape[2], images[0].shape[3])
        first = _worst(pairs, tolerance, limits) // size * size
        yield Parity(canvas, size, len(images), agreement, slice(first, first + size))


def lists_of(found: BatchDetections) -> list[Found]:
    """Detections picture by picture, without the empty places."""
    return [
        Found(*(column[i, : int(found.count[i])].cpu() for column in found[:3]))
        for i in range(len(found.count))
    ]


def _worst(pairs: Sequence[tuple[Found, Found]], tolerance: Tolerance, limits: Limits) -> int:
    def badness(place: int) -> tuple[int, float]:
        try:
            one = compare_all([pairs[place]], tolerance, limits)
        except ValueError:
            return 0, 0.0
        return one.different, max(one.box, one.score)

    return max(range(len(pairs)), key=badness)
