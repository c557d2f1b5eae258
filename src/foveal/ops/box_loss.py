"""Regression losses of matched boxes, one value per pair."""

from __future__ import annotations

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
    common_side = torch.min(boxes[..., 2:], target[..., 2:]) - torch.max(boxes[..., :2], target[..., :2])
    hull_side = torch.max(boxes[..., 2:], target[..., 2:]) - torch.min(boxes[..., :2], target[..., :2])
    common = torch.where((common_side > 0).all(dim=-1), common_side[..., 0] * common_side[..., 1], 0)
    hull = hull_side[..., 0] * hull_side[..., 1]
    union = box_area(boxes) + box_area(target) - common
    return 1 - (common / (union + TINY_AREA) - (hull - union) / (hull + TINY_AREA))
