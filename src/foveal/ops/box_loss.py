"""Regression losses of matched boxes, one value per pair."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss


def l1_loss(deltas: Tensor, target: Tensor) -> Tensor:
    """L1 of deltas [P, 4] against encoded targets, summed over the four: [P]."""
    return F.l1_loss(deltas, target, reduction="none").sum(dim=-1)


def smooth_l1_loss(deltas: Tensor, target: Tensor, beta: float = 1 / 9) -> Tensor:
    """Smooth L1 (Girshick 2015, equation 3), quadratic below ``beta``: [P]."""
    return F.smooth_l1_loss(deltas, target, beta=beta, reduction="none").sum(dim=-1)


def giou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019, algorithm 1) of decoded boxes [P, 4] xyxy: [P]."""
    loss: Tensor = generalized_box_iou_loss(boxes, target, reduction="none")
    return loss
