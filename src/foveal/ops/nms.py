"""Non-maximum suppression of a batch of candidates, to a fixed number of detections per picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

from foveal.ops.iou import box_iou
from foveal.types import BatchDetections, Candidates

AT_ONCE = 600
"""Candidates that are looked at together; the first ones nearly always fill ``detections_per_img``."""
KEPT_AT_ONCE = 2048
"""Survivors that a block is compared with at a time: bounds the memory."""


def suppress(
    candidates: Candidates,
    nms_thresh: float = 0.5,
    class_agnostic: bool = False,
    detections_per_img: int | None = 100,
) -> BatchDetections:
    """Greedy NMS: best score first, drop what overlaps a kept box of its class by IoU > nms_thresh.

    class_agnostic: a kept box drops boxes of every class. Score 0 marks an empty place and is never kept.
    Results are sorted by score and padded with zeros to ``detections_per_img``, None: to as many as candidates.
    """
    if torch.compiler.is_compiling():
        return suppress_in_graph(candidates, nms_thresh, class_agnostic, detections_per_img, kept_by_nms)
    batch, places = candidates.scores.shape
    limit = places if detections_per_img is None else detections_per_img
    boxes = candidates.boxes.new_zeros(batch, limit, 4)
    scores = candidates.scores.new_zeros(batch, limit)
    labels = candidates.labels.new_zeros(batch, limit)
    count = candidates.labels.new_zeros(batch)
    for i in range(batch):
        groups = None if class_agnostic else candidates.labels[i]
        kept = _survivors(candidates.boxes[i], candidates.scores[i], groups, nms_thresh, limit)
        n = len(kept)
        boxes[i, :n], scores[i, :n] = candidates.boxes[i][kept], candidates.scores[i][kept]
        labels[i, :n], count[i] = candidates.labels[i][kept], n
    return BatchDetections(boxes, scores, labels, count)


def _survivors(boxes: Tensor, scores: Tensor, groups: Tensor | None, nms_thresh: float, limit: int) -> Tensor:
    """Places of the first ``limit`` survivors among one picture's candidates in any order, best first."""
    order = scores.argsort(descending=True, stable=True)
    order = order[: int((scores > 0).sum())]
    return order[greedy_nms(boxes[order], nms_thresh, limit, None if groups is None else groups[order])]


def suppress_in_graph(
    candidates: Candidates,
    nms_thresh: float,
    class_agnostic: bool,
    detections_per_img: int | None,
    keep: Callable[[Tensor, Tensor, Tensor, float], Tensor],
) -> BatchDetections:
    """``suppress`` for ``torch.compile`` and ``torch.export``: no size of a result depends on a value.

    keep: does what ``kept_by_nms`` does.
    """
    boxes, scores, labels = candidates
    limit = scores.shape[1]
    if detections_per_img is not None:
        # A small canvas may have fewer candidates than detections are asked for.
        limit = detections_per_img
        boxes, scores, labels = (
            F.pad(boxes, (0, 0, 0, limit)),
            F.pad(scores, (0, limit)),
            F.pad(labels, (0, limit)),
        )
    groups = torch.zeros_like(labels) if class_agnostic else labels
    kept = keep(boxes, scores, groups, nms_thresh)
    best, place = torch.where(kept, scores, 0.0).topk(limit, dim=1)
    taken = best > 0
    found = boxes.gather(1, place[:, :, None].expand(-1, -1, 4))
    return BatchDetections(
        torch.where(taken[:, :, None], found, 0.0),
        best,
        torch.where(taken, labels.gather(1, place), 0),
        taken.sum(dim=1),
    )


@torch.library.custom_op("foveal::kept_by_nms", mutates_args=())
def kept_by_nms(boxes: Tensor, scores: Tensor, groups: Tensor, nms_thresh: float) -> Tensor:
    """Which candidates of each picture survive greedy NMS: [B, C] bool.

    boxes: [B, C, 4]. scores: [B, C], 0 is an empty place. groups: [B, C] int64. One operator, so that a graph
    holds it as a whole and an export can put the runtime's own NMS in its place.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for i in range(len(scores)):
        kept[i, _survivors(boxes[i], scores[i], groups[i], nms_thresh, scores.shape[1])] = True
    return kept


@kept_by_nms.register_fake
def _(boxes: Tensor, scores: Tensor, groups: Tensor, nms_thresh: float) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


KEPT_BY_NMS = torch.ops.foveal.kept_by_nms.default
"""The operator, as a graph holds it."""


def greedy_nms(boxes: Tensor, nms_thresh: float, limit: int, groups: Tensor | None = None) -> Tensor:
    """Places of the first ``limit`` survivors among boxes [N, 4] sorted by falling score.

    groups: [N] integers, boxes of different ones do not meet. What survives in a prefix survives in the whole:
    block by block, each against the survivors before it and within itself, until there are enough.
    """
    device = boxes.device
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64, device=device)
    if device.type == "mps":  # it has no float64
        boxes, groups = boxes.cpu(), None if groups is None else groups.cpu()
    apart = boxes.double()
    if groups is not None:
        # Each group is moved to its own place; in float64 the move costs no precision.
        apart = apart + (groups * ((boxes.max() - boxes.min()).double() + 1))[:, None]
    rank = torch.arange(AT_ONCE, 0, -1, device=boxes.device, dtype=torch.float64)
    kept = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    for start in range(0, len(boxes), AT_ONCE):
        place = torch.arange(start, min(start + AT_ONCE, len(boxes)), device=boxes.device)
        if len(kept):
            place = place[~_reached(apart[place], apart[kept], nms_thresh)]
        kept = torch.cat([kept, place[nms(apart[place], rank[: len(place)], nms_thresh)]])
        if len(kept) >= limit:
            break
    return kept[:limit].to(device)


def _reached(boxes: Tensor, kept: Tensor, nms_thresh: float) -> Tensor:
    """[N] whether a kept box [M, 4] overlaps each box [N, 4] by more than the threshold."""
    reached = [
        (box_iou(part[:, None], boxes[None]) > nms_thresh).any(dim=0) for part in kept.split(KEPT_AT_ONCE)
    ]
    return torch.stack(reached).any(dim=0)
