"""Focal loss (Lin et al. 2017, equation 5) and its quality form, with the gradient in closed form.

With p = sigmoid(x), q = 1 - p and s(x) = log(1 + exp(x)):

    background   L = (1 - alpha) p^gamma s(x)      dL/dx = (1 - alpha) p^gamma (gamma q s(x) + p)
    object       L = alpha q^gamma s(-x)           dL/dx = -alpha q^gamma (gamma p s(-x) + q)

Nearly every entry is background: all are treated so in one pass over blocks of rows that fit the cache, and
the one entry of each object's row is corrected afterwards. The gradient is made in the same pass, so
nothing but it is kept for backward, and no one-hot target exists.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from foveal.types import BACKGROUND, IGNORE

ROWS_CPU = 2048
"""Rows of a block on the CPU: two buffers of 2048 x 80 float32 stay in the second-level cache."""
ROWS_GPU = 1 << 18


def sigmoid_focal_loss(
    cls_logits: Tensor, labels: Tensor, alpha: float | Tensor = 0.25, gamma: float = 2.0
) -> Tensor:
    """Focal loss of every anchor and class, summed (Lin et al. 2017, eq. 5).

    cls_logits: [N, K] before the sigmoid, any float type; computed in float32 (float64 stays).
    labels: [N] int64, the class of each anchor, or BACKGROUND, or IGNORE (no loss, no gradient).
    alpha: weight of the positive class in [0, 1], one number or [K]; gamma: focusing exponent, >= 0.
    ValueError outside.
    """
    weight = torch.as_tensor(alpha, dtype=_working_dtype(cls_logits), device=cls_logits.device).detach()
    if not gamma >= 0 or not ((weight >= 0) & (weight <= 1)).all():  # NaN is outside, too
        raise ValueError(f"alpha must lie in [0, 1] and gamma be >= 0: alpha {alpha}, gamma {gamma}")
    if weight.ndim and weight.shape != cls_logits.shape[1:]:
        raise ValueError(f"alpha has {weight.numel()} weights for {cls_logits.shape[1]} classes")
    rows, logits = _objects(cls_logits, labels)
    object_weight = weight[labels[rows]] if weight.ndim else weight
    loss, gradient = _object_focal(logits, object_weight, gamma)
    total: Tensor = _Focal.apply(cls_logits, labels, 1 - weight, gamma, rows, loss, gradient)
    return total


def quality_focal_loss(cls_logits: Tensor, labels: Tensor, quality: Tensor, gamma: float = 2.0) -> Tensor:
    """Quality focal loss (Li et al. 2020, eq. 5), summed: an object's target score is its box's IoU.

    cls_logits, labels: as above. quality: [P] IoU in [0, 1] of the P rows with label >= 0, in row order; no
    gradient flows into it. ValueError where the counts disagree or gamma is negative.
    """
    if not gamma >= 0:
        raise ValueError(f"gamma must be >= 0: {gamma}")
    rows, logits = _objects(cls_logits, labels)
    if len(quality) != len(rows):
        raise ValueError(f"{len(quality)} qualities for {len(rows)} objects")
    loss, gradient = _object_quality(logits, quality.detach().to(logits.dtype), gamma)
    total: Tensor = _Focal.apply(cls_logits, labels, logits.new_ones(()), gamma, rows, loss, gradient)
    return total


def _objects(cls_logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the objects, and their logits of their own class, without gradient."""
    rows = torch.nonzero(labels >= 0).squeeze(1)
    return rows, cls_logits.detach()[rows, labels[rows]].to(_working_dtype(cls_logits))


def _object_focal(x: Tensor, alpha: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    p, q, s = x.sigmoid(), (-x).sigmoid(), F.softplus(-x)
    modulation = alpha * q.pow(gamma)
    return modulation * s, -modulation * (gamma * p * s + q)


def _object_quality(x: Tensor, y: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    p = x.sigmoid()
    gap = p - y
    bce = F.softplus(x) - x * y
    modulation = gap.abs().pow(gamma)
    # d|gap|^gamma / dx. At a gap of zero, the minimum, it is 0: gamma < 1 would give infinity there.
    slope = torch.where(gap == 0, 0, gamma * modulation / gap * p * (1 - p))
    return modulation * bce, slope * bce + modulation * gap


def _working_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


class _Focal(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cls_logits: Tensor,
        labels: Tensor,
        weight: Tensor,
        gamma: float,
        rows: Tensor,
        object_loss: Tensor,
        object_gradient: Tensor,
    ) -> Tensor:
        gradient = torch.empty_like(cls_logits)
        wide = torch.float32 if cls_logits.device.type == "mps" else torch.float64  # MPS has no float64
        total = object_loss.sum(dtype=wide)
        step = ROWS_GPU if cls_logits.is_cuda else ROWS_CPU
        for start in range(0, len(cls_logits), step):
            block = slice(start, start + step)
            label = labels[block, None]
            keep = (label != IGNORE).to(weight.dtype)
            loss, slope = _background_block(cls_logits[block], weight, gamma, keep)
            gradient[block] = slope
            # An object's own entry is no background. It is taken out before the sum: taken out of the sum,
            # it would leave its rounding, which is more than the whole loss of a confident object.
            own = label.clamp(min=0)
            loss.scatter_(1, own, loss.gather(1, own).masked_fill_(label >= 0, 0))
            total += loss.sum(dtype=wide)
        gradient[rows, labels[rows]] = object_gradient.to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return total.to(weight.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None, None, None, None, None


def _background_block(x: Tensor, weight: Tensor, gamma: float, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and slope [n, K] of entries that are all background; buffers are reused to stay in cache."""
    x = x.to(weight.dtype)
    p = x.sigmoid()
    s = F.softplus(x)
    modulation = (p * p if gamma == 2 else p.pow(gamma)).mul_(weight).mul_(keep)
    loss = s * modulation
    # gamma q s + p, in the buffer of s
    slope = s.mul_(1 - p).mul_(gamma).add_(p).mul_(modulation)
    return loss, slope


__all__ = ["BACKGROUND", "IGNORE", "quality_focal_loss", "sigmoid_focal_loss"]
