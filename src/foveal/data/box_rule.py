"""What a usable box is: judged by its own numbers, then by its picture's edges, at which it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from foveal.data.decode import PictureSize, rotate_boxes
from foveal.data.records import FaultKind

ROUNDING = 0.05
"""Pixels by which a box may leave its picture without being counted: label tools round to one decimal."""
UNMOVED = (0.0, 0.0, 0.0, 0.0)

Box = tuple[float, float, float, float]


class Judged(NamedTuple):
    """What becomes of a box."""

    box: Box | None
    """xyxy, inside the picture; None: it is dropped."""
    fault: FaultKind | None = None
    message: str = ""


def judge_box(
    corners: Sequence[float], size: PictureSize, shift: Sequence[float] = UNMOVED, turned: bool = False
) -> Judged:
    """One box of a picture.

    corners: x1, y1, x2, y2 in the file's own numbers, on which zero size is judged; ``shift`` is added after that.
    turned: whether they belong to the picture as it is stored, before its EXIF orientation.
    """
    x1, y1, x2, y2 = corners
    if not (isfinite(x1) and isfinite(y1) and isfinite(x2) and isfinite(y2)):
        return Judged(None, "bad_number", f"box {_numbers(corners)} is not finite: dropped")
    if x2 <= x1 or y2 <= y1:
        return Judged(None, "zero_size", f"box {_numbers(corners)} has no width or no height: dropped")
    box = (float(x1) + shift[0], float(y1) + shift[1], float(x2) + shift[2], float(y2) + shift[3])
    if turned:
        rows = rotate_boxes(np.array(box), size.orientation, size.stored_height, size.stored_width)
        box = tuple(rows[0].tolist())
    return _cut(box, size.height, size.width)


def _cut(box: Box, height: int, width: int) -> Judged:
    x1, y1, x2, y2 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    if x2 <= x1 or y2 <= y1:
        return Judged(None, "outside", f"box {_numbers(box)} lies outside {width} x {height}: dropped")
    excess = max(x1 - box[0], y1 - box[1], box[2] - x2, box[3] - y2)
    if excess > ROUNDING:
        why = f"box {_numbers(box)} leaves {width} x {height} by {excess:.4g} px: clipped"
        return Judged((x1, y1, x2, y2), "clipped", why)
    return Judged((x1, y1, x2, y2))


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in values) + "]"
