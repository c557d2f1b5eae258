"""Focal loss (Lin et al. 2017, equation 5) and its quality form, with the gradient in closed form.

With p = sigmoid(x), q = 1 - p and s(x) = log(1 + exp(x)):

    background   L = (1 - alpha) p^gamma s(x)      dL/dx = (1 - alpha) p^gamma (gamma q s(x) + p)
    object       L = alpha q^gamma s(-x)           dL/dx = -alpha q^gamma (gamma p s(-x) + q)

Nearly every entry is background: all are treated so in one pass over blocks of rows that fit the cache, and
the one entry of each object's row is put in its place. The gradient is made in the same pass, so nothing but
it is kept for backward, and no one-hot target exists. ``fused_focal`` is the same for a compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from foveal.types import BACKGROUND, IGNORE

ENTRIES_CPU = 1 << 19
"""Entries of a block on the CPU: two buffers of 2 MB stay near the cores; smaller ones suit two threads badly."""
ENTRIES_GPU = 1 << 24

ObjectRule = Callable[[Tensor, Tensor, slice], tuple[Tensor, Tensor]]
"""(logits [n, 1] of each row's own class, that class [n, 1], rows of the block) -> loss and slope [n, 1] of an
object there. Every row is asked; only what is said of objects counts."""


def sigmoid_focal_loss(
    cls_logits: Tensor, labels: Tensor, alpha: float | Tensor = 0.25, gamma: float = 2.0
) -> Tensor:
    """Focal loss of every anchor and class, summed (Lin et al. 2017, eq. 5).

    cls_logits: [N, K] before the sigmoid, any float type; computed in float32 (float64 stays).
    labels: [N] int64, the class of each anchor, or BACKGROUND, or IGNORE (no loss, no gradient).
    alpha: weight of the positive class in [0, 1], one number or [K]; gamma: focusing exponent, >= 0.
    ValueError outside.
    """
    weight = object_weight(cls_logits, alpha, gamma)

    def objects(x: Tensor, own: Tensor, _: slice) -> tuple[Tensor, Tensor]:
        return _object_focal(x, weight[own] if isinstance(weight, Tensor) else weight, gamma)

    return with_gradient(cls_logits, lambda x: _in_blocks(x, labels, 1 - weight, gamma, objects))


def quality_focal_loss(cls_logits: Tensor, labels: Tensor, quality: Tensor, gamma: float = 2.0) -> Tensor:
    """Quality focal loss (Li et al. 2020, eq. 5), summed: an object's target score is its box's IoU.

    cls_logits, labels: as above. quality: IoU in [0, 1], [P] of the P rows with label >= 0 in row order, or [N]
    of every row, of which those with label >= 0 are read; no gradient flows into it. ValueError where the counts
    disagree or gamma is negative.
    """
    target = quality_of_rows(cls_logits, labels, quality, gamma)

    def objects(x: Tensor, _: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        return _object_quality(x, target[block, None], gamma)

    return with_gradient(cls_logits, lambda x: _in_blocks(x, labels, 1.0, gamma, objects))


def object_weight(cls_logits: Tensor, alpha: float | Tensor, gamma: float) -> float | Tensor:
    """alpha as a number, or as [K] on the device of the logits. ValueError as for ``sigmoid_focal_loss``."""
    if isinstance(alpha, Tensor) and alpha.ndim == 0:
        alpha = float(alpha)
    inside = ((alpha >= 0) & (alpha <= 1)).all() if isinstance(alpha, Tensor) else 0 <= alpha <= 1
    if not gamma >= 0 or not inside:  # NaN is outside, too
        raise ValueError(f"alpha must lie in [0, 1] and gamma be >= 0: alpha {alpha}, gamma {gamma}")
    if not isinstance(alpha, Tensor):
        return alpha
    if alpha.shape != cls_logits.shape[1:]:
        raise ValueError(f"alpha has {alpha.numel()} weights for {cls_logits.shape[1]} classes")
    return alpha.detach().to(cls_logits.device, working_dtype(cls_logits), non_blocking=True)


def quality_of_rows(cls_logits: Tensor, labels: Tensor, quality: Tensor, gamma: float) -> Tensor:
    """[N] target score of every row, 0 where there is no object; see ``quality_focal_loss``."""
    if not gamma >= 0:
        raise ValueError(f"gamma must be >= 0: {gamma}")
    quality = quality.detach().to(working_dtype(cls_logits))
    objects = labels >= 0
    if len(quality) == len(labels):
        return torch.where(objects, quality, 0)
    if len(quality) != int(objects.sum()):
        raise ValueError(f"{len(quality)} qualities for {int(objects.sum())} objects")
    return quality.new_zeros(len(labels)).masked_scatter(objects, quality)


def working_dtype(x: Tensor) -> torch.dtype:
    """Type in which the loss of these logits is computed."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _object_focal(x: Tensor, alpha: float | Tensor, gamma: float) -> tuple[Tensor, Tensor]:
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


def _in_blocks(
    cls_logits: Tensor, labels: Tensor, weight: float | Tensor, gamma: float, objects: ObjectRule
) -> tuple[Tensor, Tensor]:
    """Sum and gradient [N, K]; weight: of the background, a number or [K]."""
    gradient = torch.empty_like(cls_logits)
    wide = torch.float32 if cls_logits.device.type == "mps" else torch.float64  # MPS has no float64
    total = cls_logits.new_zeros((), dtype=wide)
    rows, classes = cls_logits.shape
    step = max(1, min((ENTRIES_GPU if cls_logits.is_cuda else ENTRIES_CPU) // max(classes, 1), rows))
    # Made once: fresh memory for every block would cost more than the arithmetic in it.
    dtype = working_dtype(cls_logits)
    spare = cls_logits.new_empty((step, classes), dtype=dtype)
    wide_slope = spare if gradient.dtype == dtype else torch.empty_like(spare)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        label = labels[block, None]
        x = cls_logits[block].to(dtype)
        slope = gradient[block] if gradient.dtype == dtype else wide_slope[: len(label)]
        loss = _as_background(x, weight, gamma, label != IGNORE, slope, spare[: len(label)])
        # An object's own entry is no background. It is replaced before the sum: taken out of the sum, it
        # would leave its rounding, which is more than the whole loss of a confident object.
        own, is_object = label.clamp(min=0), label >= 0
        object_loss, object_slope = objects(x.gather(1, own), own, block)
        loss.scatter_(1, own, torch.where(is_object, object_loss, loss.gather(1, own)))
        slope.scatter_(1, own, torch.where(is_object, object_slope, slope.gather(1, own)))
        if gradient.dtype != dtype:
            gradient[block] = slope
        total += loss.sum(dim=1).sum(dtype=wide)
        del loss  # or the next block's stands beside it
    return total.to(dtype), gradient


def _as_background(
    x: Tensor, weight: float | Tensor, gamma: float, keep: Tensor, slope: Tensor, spare: Tensor
) -> Tensor:
    """Loss [n, K] of entries that are all background; their slope is written into the tensor given."""
    p = torch.sigmoid(x, out=spare)
    s = F.softplus(x)
    torch.addcmul(s, p, s, value=-1, out=slope)  # q s
    torch.add(p, slope, alpha=gamma, out=slope)
    modulation = torch.mul(p, p, out=p) if gamma == 2 else p.pow_(gamma)
    modulation.mul_(weight * keep)
    slope.mul_(modulation)
    return s.mul_(modulation)


def with_gradient(x: Tensor, compute: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """A sum over x whose gradient is made together with it: ``compute(x) -> (sum, gradient)``."""
    total: Tensor = _WithGradient.apply(x, compute)
    return total


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        total, gradient = compute(x.detach())
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        # Where backward comes this way again (retain_graph), the gradient must stay as it is.
        kept = torch._C._autograd._get_current_graph_task_keep_graph()
        return gradient * upstream if kept else gradient.mul_(upstream), None


__all__ = ["BACKGROUND", "IGNORE", "quality_focal_loss", "sigmoid_focal_loss"]
