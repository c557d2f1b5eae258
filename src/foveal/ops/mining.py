"""Which anchors count in the class loss: hard negative mining and OHEM, the older answers to easy negatives.

Both rank the anchors of a picture by their cross entropy; what is left out becomes IGNORE. There is no gradient
through the choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.ops.nms import greedy_nms
from foveal.types import BACKGROUND, IGNORE

POOL = 20
"""Where a ratio is asked for, NMS looks at all objects and at so many times ``examples`` of the worst anchors: all
of 200,000 anchors would take seconds."""
ENTRIES = 1 << 20
"""Entries of a block: 4 MB, so that no copy of all logits is made."""


@torch.no_grad()
def cross_entropy_of_anchors(cls_logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of every anchor, summed over its classes: [N] float32, -inf where ignored.

    cls_logits: [N, K] before the sigmoid. labels: [N] class, BACKGROUND or IGNORE.
    """
    step = max(1, ENTRIES // max(1, cls_logits.shape[1]))
    losses = [F.softplus(block.float()).sum(dim=1) for block in cls_logits.split(step)]
    own = cls_logits.gather(1, labels.clamp(min=0)[:, None])[:, 0].float()
    loss = torch.cat(losses) - torch.where(labels >= 0, own, 0)
    return loss.masked_fill(labels == IGNORE, -torch.inf)


def hard_negatives(losses: Tensor, labels: Tensor, per_positive: float = 3.0) -> Tensor:
    """SSD's rule (Liu et al. 2016, section 2.2): all objects, and so many times as many of the worst negatives.

    losses, labels: [N] of one picture. Returns labels with the other negatives ignored. A picture without an
    object keeps no negative, as in the original.
    """
    negative = labels == BACKGROUND
    count = min(int(per_positive * int((labels >= 0).sum())), int(negative.sum()))
    kept = labels.masked_fill(negative, IGNORE)
    kept[losses.where(negative, -torch.inf).topk(count).indices] = BACKGROUND
    return kept


def hardest_examples(
    losses: Tensor,
    labels: Tensor,
    boxes: Tensor,
    examples: int = 512,
    nms_thresh: float = 0.7,
    per_positive: float | None = None,
) -> Tensor:
    """OHEM (Shrivastava et al. 2016) as Lin et al. 2017 compare with it in table 1d.

    Anchors by falling loss, without those that overlap a worse one by IoU > nms_thresh, and of these the first
    ``examples``. per_positive: of what NMS leaves, negatives and objects in this ratio, as far as there are
    objects: at most examples / (1 + per_positive) of them; a picture without one keeps nothing.
    losses, labels: [N] of one picture; boxes: [N, 4] its anchors. Returns labels with the others ignored.
    """
    order = losses.argsort(descending=True, stable=True)
    order = order[: int((labels != IGNORE).sum())]
    if per_positive is None:
        chosen = order[greedy_nms(boxes[order], nms_thresh, examples)]
    else:
        worst = torch.arange(len(order), device=order.device) < POOL * examples
        order = order[worst | (labels[order] >= 0)]
        order = order[greedy_nms(boxes[order], nms_thresh, len(order))]
        objects, negatives = order[labels[order] >= 0], order[labels[order] == BACKGROUND]
        objects = objects[: int(examples / (1 + per_positive))]
        chosen = torch.cat([objects, negatives[: int(per_positive * len(objects))]])
    kept = torch.full_like(labels, IGNORE)
    kept[chosen] = labels[chosen]
    return kept
