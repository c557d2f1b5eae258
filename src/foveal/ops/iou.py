"""Overlap of boxes: intersection over union and its relatives, pair by pair or as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Area of boxes [..., 4] xyxy."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Area common to boxes a and b, [..., 4] xyxy, broadcast against each other."""
    top_left = torch.maximum(a[..., :2], b[..., :2])
    bottom_right = torch.minimum(a[..., 2:], b[..., 2:])
    side = (bottom_right - top_left).clamp(min=0)
    return side[..., 0] * side[..., 1]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of a and b, [..., 4] xyxy, broadcast against each other.

    ``box_iou(a[:, None], b[None])`` is the matrix, ``box_iou(a, b)`` the pairs; the arithmetic is the same
    in both, so that ties agree. Boxes of zero area give 0, never NaN.
    """
    common = intersection(a, b)
    union = box_area(a) + box_area(b) - common
    return common / union.clamp(min=torch.finfo(union.dtype).tiny)


def intersection_over_area(boxes: Tensor, regions: Tensor) -> Tensor:
    """Share of each box's own area that lies in a region (COCO's overlap with crowd regions)."""
    area = box_area(boxes)
    return intersection(boxes, regions) / area.clamp(min=torch.finfo(area.dtype).tiny)
