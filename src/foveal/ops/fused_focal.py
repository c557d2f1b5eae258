"""The losses of ``focal_loss`` entry by entry, in one formula that a compiler turns into one kernel.

Equal to them; faster where ``torch.compile`` works (a C++ compiler on the CPU, Triton on CUDA), after a first
call that compiles. An object's entry of the focal loss is a background entry of -x with its own weight.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from foveal.ops.focal_loss import object_weight, quality_of_rows, with_gradient, working_dtype
from foveal.types import IGNORE


def fused_focal_loss(
    cls_logits: Tensor, labels: Tensor, alpha: float | Tensor = 0.25, gamma: float = 2.0
) -> Tensor:
    """``sigmoid_focal_loss`` in one compiled kernel; the same arguments, result and errors."""
    weight = object_weight(cls_logits, alpha, gamma)
    return with_gradient(cls_logits, lambda x: _compiled(focal_entries)(_rows(x), labels, weight, gamma))


def fused_quality_focal_loss(
    cls_logits: Tensor, labels: Tensor, quality: Tensor, gamma: float = 2.0
) -> Tensor:
    """``quality_focal_loss`` in one compiled kernel; the same arguments, result and errors."""
    target = quality_of_rows(cls_logits, labels, quality, gamma)
    return with_gradient(cls_logits, lambda x: _compiled(quality_entries)(_rows(x), labels, target, gamma))


@cache
def compiler_works(device: str) -> bool:
    """Whether torch.compile can make kernels for cpu or cuda here. Tried once: seconds."""
    try:
        torch.compile(lambda x: x.sigmoid() * x)(torch.ones(8, device=device))
    except Exception:  # whatever a missing compiler makes torch raise
        return False
    return True


def focal_entries(
    cls_logits: Tensor, labels: Tensor, weight: float | Tensor, gamma: float
) -> tuple[Tensor, Tensor]:
    """Sum and gradient [N, K] of the focal loss; weight: of objects, a number or [K]."""
    x, own, keep = _entries(cls_logits, labels)
    sign = torch.where(own, -1.0, 1.0)
    p, q, s = _sigmoid_softplus(x * sign)
    modulation = _power(p, gamma) * torch.where(own, weight * keep, (1 - weight) * keep)
    return _sum(modulation * s), (sign * modulation * (p + gamma * s * q)).to(cls_logits.dtype)


def quality_entries(
    cls_logits: Tensor, labels: Tensor, quality: Tensor, gamma: float
) -> tuple[Tensor, Tensor]:
    """Sum and gradient [N, K] of the quality focal loss; quality: [N] target score of every row."""
    x, own, keep = _entries(cls_logits, labels)
    y = torch.where(own, quality[:, None], 0.0)
    p, q, s = _sigmoid_softplus(x)
    gap, bce = p - y, s - x * y
    modulation = _power(gap.abs(), gamma) * keep
    slope = 2 * keep * gap if gamma == 2 else torch.where(gap == 0, 0.0, gamma * modulation / gap)
    return _sum(modulation * bce), (slope * p * q * bce + modulation * gap).to(cls_logits.dtype)


def _entries(cls_logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits in the working type, whether an entry is an object's own, and 0 for the ignored rows [N, 1]."""
    x = cls_logits.to(working_dtype(cls_logits))
    # As int32, a class takes as many bits as a logit, and both fill the same vectors.
    label = labels.to(torch.int32)[:, None]
    own = label == torch.arange(x.shape[1], device=x.device, dtype=torch.int32)
    return x, own, (label != IGNORE).to(x.dtype)


def _sigmoid_softplus(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sigmoid(x), sigmoid(-x) and log(1 + exp(x)) with one exponential, one division and one logarithm."""
    e = torch.exp(-x.abs())
    u = 1 + e
    r = 1 / u
    positive = x >= 0
    # log(1 + e) is log(u) plus what rounding took from u: exact also where e is far below 1.
    softplus = torch.log(u) + (e - (u - 1)) * r + x.clamp(min=0)
    return torch.where(positive, r, e * r), torch.where(positive, e * r, r), softplus


def _power(x: Tensor, gamma: float) -> Tensor:
    return x * x if gamma == 2 else x.pow(gamma)


def _sum(loss: Tensor) -> Tensor:
    """By rows first: float64 all through would halve the speed."""
    return loss.sum(dim=1).sum(dtype=torch.float64).to(loss.dtype)


def _rows(x: Tensor) -> Tensor:
    """Marked as a tensor of many numbers of rows, so that one kernel serves all levels."""
    torch._dynamo.maybe_mark_dynamic(x, 0)
    return x


@cache
def _compiled(entries: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(entries)
