"""Regression losses of matched boxes, one value per pair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.ops.iou import box_area

TINY_AREA = 1e-7
"""Added to areas that are divided by: torchvision's ``eps``, whose values these are."""


def l1_loss(deltas: Tensor, target: Tensor) -> Tensor:
    """L1 of deltas [P, 4] against encoded targets, summed over the four: [P]."""
    return F.l1_loss(deltas, target, reduction="none").sum(dim=-1)


def smooth_l1_loss(deltas: Tensor, target: Tensor, beta: float = 1 / 9) -> Tensor:
    """Smooth L1 (Girshick 2015, equation 3), quadratic below ``beta``: [P]."""
    return F.smooth_l1_loss(deltas, target, beta=beta, reduction="none").sum(dim=-1)


def giou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019, algorithm 1) of decoded boxes [P, 4] xyxy: [P].

    torchvision's picks the pairs that overlap by a mask, for which CUDA must wait.
    """
    iou, union = _iou_union(boxes, target)
    hull_side = _hull_side(boxes, target)
    hull = hull_side[..., 0] * hull_side[..., 1]
    return 1 - (iou - (hull - union) / (hull + TINY_AREA))


def diou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """1 - IoU + squared distance of the centres over the hull's diagonal (Zheng et al. 2020, equation 7): [P].

    boxes, target: [P, 4] xyxy.
    """
    iou, _ = _iou_union(boxes, target)
    diagonal = _hull_side(boxes, target).square().sum(dim=-1)
    centres = (boxes[..., :2] + boxes[..., 2:] - target[..., :2] - target[..., 2:]) / 2
    return 1 - iou + centres.square().sum(dim=-1) / (diagonal + TINY_AREA)


def ciou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """``diou_loss`` + alpha v, v the difference of the aspect ratios' angles (Zheng et al. 2020, equations 8-11).

    boxes, target: [P, 4] xyxy, result [P]. alpha is a trade-off, and has no gradient, as in the authors' code.
    """
    iou, _ = _iou_union(boxes, target)
    v = 4 / math.pi**2 * (_angle(target) - _angle(boxes)).square()
    alpha = (v / (1 - iou + v + TINY_AREA)).detach()
    return diou_loss(boxes, target) + alpha * v


def _iou_union(boxes: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    common_side = torch.min(boxes[..., 2:], target[..., 2:]) - torch.max(boxes[..., :2], target[..., :2])
    common = torch.where((common_side > 0).all(dim=-1), common_side[..., 0] * common_side[..., 1], 0)
    union = box_area(boxes) + box_area(target) - common
    return common / (union + TINY_AREA), union


def _hull_side(boxes: Tensor, target: Tensor) -> Tensor:
    return torch.max(boxes[..., 2:], target[..., 2:]) - torch.min(boxes[..., :2], target[..., :2])


def _angle(boxes: Tensor) -> Tensor:
    side = boxes[..., 2:] - boxes[..., :2]
    return torch.atan2(side[..., 0], side[..., 1])
