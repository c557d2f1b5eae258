"""Box targets: a box relative to its anchor, and back. Two forms are in use, both with a scale for each number."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

MAX_LOG_RATIO = math.log(1000 / 16)
"""Cap on dw and dh when decoding, so that exp() stays finite."""
Weights = tuple[float, float, float, float]


class BoxCoder(Protocol):
    """Boxes to deltas and back, both [..., 4]; boxes and anchors are xyxy with positive sides."""

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Deltas that turn anchors into boxes."""
        ...

    def decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Boxes from deltas and anchors."""
        ...


class CentreCoder(NamedTuple):
    """(dx, dy, dw, dh), the R-CNN parametrisation (Girshick et al. 2014, appendix C).

    weights: factor on each delta; (10, 10, 5, 5) are SSD's variances 0.1 and 0.2.
    """

    weights: Weights = (1.0, 1.0, 1.0, 1.0)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Deltas [..., 4]."""
        return encode_boxes(boxes, anchors, self.weights)

    def decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Boxes [..., 4]."""
        return decode_boxes(deltas, anchors, self.weights)


class CornerCoder(NamedTuple):
    """(dx1, dy1, dx2, dy2): each corner's way in sides of the anchor, over ``std`` (keras-retinanet: 0.2)."""

    std: float = 0.2

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Deltas [..., 4]."""
        return (boxes - anchors) / (_sides(anchors) * self.std)

    def decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Boxes [..., 4]; unlike the centre form, some deltas turn a box inside out, as in the original."""
        return anchors + deltas * (_sides(anchors) * self.std)


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


def _sides(anchors: Tensor) -> Tensor:
    """Width, height, width, height [..., 4]."""
    size = anchors[..., 2:] - anchors[..., :2]
    return torch.cat([size, size], dim=-1)
