"""What a person wants to know of a step: who found an anchor, who did not, and whose the class loss is.

Nothing here has a gradient, and nothing makes the host wait for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from foveal.heads.anchor_decoupled.targets import Assignment
from foveal.ops.fixed_size import needs_fixed_size
from foveal.types import BACKGROUND, IGNORE, AnchorLevel, HeadOutputs, Target

ClassLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
EASY_SCORE = 0.1
"""A background anchor is easy where no class scores as much, hard otherwise: under it, gamma 2 leaves less than a
hundredth of the cross entropy (paper, equation 4)."""
EASY_LOGIT = math.log(EASY_SCORE / (1 - EASY_SCORE))


@torch.no_grad()
def of_assignment(
    assignment: Assignment, targets: Sequence[Target], levels: Sequence[AnchorLevel]
) -> dict[str, Tensor]:
    """Means over the pictures of a batch, each a scalar.

    ``positives`` and ``positives_stride_<s>``: anchors that are objects, of all levels and of each; ``ignored``:
    anchors without a loss; ``ignored_boxes``: crowds; ``boxes``: the others, ``boxes_unmatched``: those of them
    without any anchor; ``pictures_with_boxes``: share of pictures that have one, ``pictures_unmatched``: share of
    pictures that have one and no anchor for any.
    """
    objects = assignment.labels >= 0
    count = objects.float()
    stats = {
        "positives": count.sum(dim=1).mean(),
        "ignored": (assignment.labels == IGNORE).float().sum(dim=1).mean(),
    }
    per_level = count.split([len(level.boxes) for level in levels], dim=1)
    for level, share in zip(levels, per_level, strict=True):
        stats[f"positives_stride_{level.stride}"] = share.sum(dim=1).mean()
    pictures = len(targets)
    # Rows that stand in for a crowd have no area; neither has the first, which is no one's.
    solid = (assignment.boxes[:, 2:] > assignment.boxes[:, :2]).all(dim=1)
    found = torch.zeros_like(solid).scatter_(0, assignment.box.flatten(), True)
    has_box = torch.stack([part.any() for part in solid[1:].split(assignment.counts)])
    has_anchor = objects.any(dim=1)
    return stats | {
        "boxes": solid.sum() / pictures,
        "boxes_unmatched": (solid & ~found).sum() / pictures,
        "ignored_boxes": torch.cat([target.crowd for target in targets]).sum() / pictures,
        "pictures_with_boxes": has_box.float().mean(),
        "pictures_unmatched": (has_box & ~has_anchor).float().mean(),
    }


@torch.no_grad()
def positives_of_class(labels: Tensor, outputs: HeadOutputs) -> Tensor:
    """[K] anchors of each class; labels: [B, N]."""
    classes = outputs.cls_logits[0].shape[-1]
    if needs_fixed_size(labels):
        # Not ``bincount``, which asks for the largest value first; what lies outside of the range is left out.
        return torch.histc(labels.float(), bins=classes, min=0, max=classes)
    return torch.bincount(labels[labels >= 0], minlength=classes).float()


@torch.no_grad()
def class_loss_parts(class_loss: ClassLoss, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
    """[3] class loss of objects, of hard background and of all anchors; logits: [n, K], the others [n]."""
    objects = labels >= 0
    hard = (labels == BACKGROUND) & (logits.amax(dim=1) >= EASY_LOGIT)
    parts = [_loss_where(class_loss, logits, labels, quality, chosen) for chosen in (objects, hard)]
    return torch.stack([*parts, class_loss(logits, labels, quality)]).float()


def shares(sums: Tensor) -> dict[str, Tensor]:
    """``cls_share_objects``, ``cls_share_hard`` and ``cls_share_easy`` of the sums of ``class_loss_parts``."""
    objects, hard = sums[0] / sums[2].clamp(min=1e-12), sums[1] / sums[2].clamp(min=1e-12)
    easy = (1 - objects - hard).clamp(min=0)
    return {"cls_share_objects": objects, "cls_share_hard": hard, "cls_share_easy": easy}


def _loss_where(
    class_loss: ClassLoss, logits: Tensor, labels: Tensor, quality: Tensor, chosen: Tensor
) -> Tensor:
    if needs_fixed_size(labels):
        return class_loss(logits, torch.where(chosen, labels, IGNORE), quality)
    (rows,) = torch.nonzero(chosen, as_tuple=True)
    return class_loss(logits[rows], labels[rows], quality[rows])
