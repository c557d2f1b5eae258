"""Box targets: a box relative to its anchor as (dx, dy, dw, dh), and back (R-CNN parametrisation)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_RATIO = math.log(1000 / 16)
"""Cap on dw and dh when decoding, so that exp() stays finite."""
Weights = tuple[float, float, float, float]


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Deltas [..., 4] that turn anchors into boxes, both [..., 4] xyxy with positive sides.

    weights: factor on each delta; (10, 10, 5, 5) are SSD's variances 0.1 and 0.2.
    """
    box_centre, box_size = _centre_size(boxes)
    centre, size = _centre_size(anchors)
    deltas = torch.cat([(box_centre - centre) / size, torch.log(box_size / size)], dim=-1)
    return _scaled(deltas, weights)


def decode_boxes(deltas: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Boxes [..., 4] xyxy from deltas and anchors: the inverse of ``encode_boxes``."""
    deltas = _scaled(deltas, tuple(1 / weight for weight in weights))
    centre, size = _centre_size(anchors)
    new_centre = deltas[..., :2] * size + centre
    half = torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_RATIO)) * size / 2
    return torch.cat([new_centre - half, new_centre + half], dim=-1)


def _scaled(deltas: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Column by column: no tensor is made of the weights, which would have to be brought to the device."""
    if all(weight == 1 for weight in weights):
        return deltas
    return torch.stack([delta * w for delta, w in zip(deltas.unbind(-1), weights, strict=True)], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
