"""Row: focal loss of 200,000 anchors and 80 classes, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss as torchvision_focal_loss

from foveal.bench.case import Absent, Case, Setup
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.fused_focal import compiler_works, fused_focal_loss
from foveal.types import BACKGROUND, IGNORE

ANCHORS, CLASSES = 200_000, 80
QUICK_ANCHORS = 2_000
OBJECTS, IGNORED = 0.001, 0.01
"""Share of the anchors that are objects, and that are ignored: those of a COCO picture."""
PRIOR_LOGIT, SPREAD = -4.6, 0.6
"""The prior of 0.01 with the spread of a network's first steps."""


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """Eager, and compiled where a compiler works. The gradient itself, 64 MB, is the result of both sides."""
    anchors = QUICK_ANCHORS if setup.quick else ANCHORS
    logits, labels = (x.to(setup.device) for x in random_logits(anchors, CLASSES))
    name = f"focal loss, forward + backward, {anchors:,} x {CLASSES}"
    eager = Case(
        name,
        "torchvision",
        partial(_backward, sigmoid_focal_loss, logits, labels),
        partial(_backward, _textbook, logits, labels),
        difference,
        target=9,
        memory_target=5,
        best=True,
        traffic=2 * logits.nbytes + labels.nbytes,
    )
    yield eager
    if compiler_works(setup.device):
        compiled = partial(_backward, fused_focal_loss, logits, labels)
        yield eager._replace(name=f"{name}, compiled", ours=compiled, target=18)
    else:
        yield Absent(
            f"{name}, compiled", "torch.compile finds no compiler: on the CPU it needs a C++ compiler"
        )


def difference(ours: tuple[Tensor, Tensor], baseline: tuple[Tensor, Tensor]) -> str:
    """Of the losses and of the gradients, relative to torchvision's."""
    if not ours[1].numel() or not baseline[1].any():
        raise ValueError("no gradient to compare")
    loss = ((ours[0] - baseline[0]).abs() / baseline[0]).item()
    gap = (ours[1] - baseline[1]).norm() / baseline[1].norm()
    return f"loss {loss:.0e}, gradient {gap.item():.0e} of its size, {ours[1].numel():,} entries"


def random_logits(anchors: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits [N, K] of a network's first steps and labels [N] of a common picture."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(anchors, classes, generator=generator) * SPREAD + PRIOR_LOGIT
    kind = torch.rand(anchors, generator=generator)
    labels = torch.randint(0, classes, (anchors,), generator=generator)
    background = torch.where(kind < OBJECTS + IGNORED, IGNORE, BACKGROUND)
    return logits, torch.where(kind < OBJECTS, labels, background)


def _backward(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss per object, as in training, and its gradient."""
    leaf = logits.detach().requires_grad_()
    total = loss(leaf, labels) / (labels >= 0).sum().clamp(min=1)
    (gradient,) = torch.autograd.grad(total, leaf)
    return total.detach(), gradient


def _textbook(logits: Tensor, labels: Tensor) -> Tensor:
    """As torchvision's RetinaNetClassificationHead.compute_loss: one-hot targets, ignored rows left out."""
    target = torch.zeros_like(logits)
    objects = labels >= 0
    target[objects, labels[objects]] = 1.0
    valid = labels != IGNORE
    total: Tensor = torchvision_focal_loss(logits[valid], target[valid], reduction="sum")
    return total
