"""Whether two lists of detections of one picture are the same, but for what rounding may change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

SAME_IOU = 0.9
"""Two detections of one class that overlap this much are meant to be one."""
NMS_TIE = 1e-3
"""Distance of an IoU from the NMS threshold at which rounding may decide."""


class Found(NamedTuple):
    """Detections of one picture."""

    boxes: Tensor
    """[N, 4] xyxy."""
    scores: Tensor
    labels: Tensor


class Tolerance(NamedTuple):
    """Differences that float arithmetic in another order may make."""

    box: float
    """Share of a box's longer side, per coordinate."""
    score: float
    pixels: float = 0.0
    """Allowed per coordinate however small the box is."""


class Limits(NamedTuple):
    """Where a detection may drop out by rounding alone."""

    score_thresh: float
    nms_thresh: float
    most: int
    """Detections kept of a picture."""


RANDOM_R50 = Tolerance(5e-4, 5e-5)
TRAINED = Tolerance(1e-5, 1e-5, 1e-3)


class Agreement(NamedTuple):
    """What the comparison of two lists gave."""

    pairs: int
    """Detections found on both sides."""
    box: float
    """Largest difference of a pair's coordinates, as a share of the box's longer side."""
    score: float
    excused: int
    """On one side only, with a score or an overlap so close to a limit that rounding decides."""
    different: int
    """On one side only without excuse, or pairs further apart than the tolerance."""
    pixels: float = 0.0
    """Largest difference of a pair's coordinates."""

    def __str__(self) -> str:
        """One cell of the table."""
        text = f"{self.pairs} detections, box {self.box:.0e} of its side, score {self.score:.0e}"
        return f"{text}; {self.excused} excused, {self.different} different"


def compare(ours: Found, theirs: Found, tolerance: Tolerance, limits: Limits) -> Agreement:
    """Match two lists as sets, by label and IoU. ValueError where a side has no detection."""
    if not len(ours.scores) or not len(theirs.scores):
        raise ValueError(f"nothing to compare: {len(ours.scores)} detections and {len(theirs.scores)}")
    return _compare(ours, theirs, tolerance, limits)


def compare_all(pairs: Iterable[tuple[Found, Found]], tolerance: Tolerance, limits: Limits) -> Agreement:
    """The same of many pictures together; a picture may have no detection. ValueError where no pair was found."""
    every = [_compare(ours, theirs, tolerance, limits) for ours, theirs in pairs]
    total = Agreement(
        sum(one.pairs for one in every),
        max((one.box for one in every), default=0.0),
        max((one.score for one in every), default=0.0),
        sum(one.excused for one in every),
        sum(one.different for one in every),
        max((one.pixels for one in every), default=0.0),
    )
    if not total.pairs + total.different:
        raise ValueError("nothing to compare: no detection on either side")
    return total


def _compare(ours: Found, theirs: Found, tolerance: Tolerance, limits: Limits) -> Agreement:
    mine, other = match(ours, theirs, SAME_IOU)
    side = (theirs.boxes[other, 2:] - theirs.boxes[other, :2]).amax(dim=1).clamp(min=1)
    pixels = (ours.boxes[mine] - theirs.boxes[other]).abs().amax(dim=1)
    score = (ours.scores[mine] - theirs.scores[other]).abs()
    near = pixels <= (tolerance.box * side).clamp(min=tolerance.pixels)
    apart = ~(near & (score <= tolerance.score))  # so that what is no number is apart
    alone = [_without(ours, mine), _without(theirs, other)]
    excused = _excused(alone[0], alone[1], theirs, tolerance, limits)
    excused += _excused(alone[1], alone[0], ours, tolerance, limits)
    left = len(alone[0].scores) + len(alone[1].scores) - excused
    different = left + int(apart.sum())
    return Agreement(
        len(mine), _largest(pixels / side), _largest(score), excused, different, _largest(pixels)
    )


def match(ours: Found, theirs: Found, least_iou: float) -> tuple[Tensor, Tensor]:
    """Places of the pairs in both lists: of one class, each used once, those that overlap most first."""
    iou = box_iou(_grown(ours.boxes), _grown(theirs.boxes))
    iou[ours.labels[:, None] != theirs.labels] = 0
    mine, other = (iou >= least_iou).nonzero(as_tuple=True)
    pairs: dict[int, int] = {}
    for place in iou[mine, other].argsort(descending=True, stable=True).tolist():
        i, j = int(mine[place]), int(other[place])
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return torch.tensor(list(pairs), dtype=torch.int64), torch.tensor(list(pairs.values()), dtype=torch.int64)


def _excused(alone: Found, across: Found, whole: Found, tolerance: Tolerance, limits: Limits) -> int:
    """How many detections of one side only are the work of rounding. across: those of the other side only."""
    if not len(alone.scores):
        return 0
    edges = [limits.score_thresh] + ([float(whole.scores.min())] if len(whole.scores) == limits.most else [])
    near = (alone.scores[:, None] - torch.tensor(edges)).abs() <= tolerance.score
    overlap = box_iou(alone.boxes, whole.boxes) * (alone.labels[:, None] == whole.labels)
    tie = (overlap - limits.nms_thresh).abs() <= NMS_TIE
    # Of two boxes of one score, NMS keeps the one that is looked at first.
    swap = box_iou(alone.boxes, across.boxes) * (alone.labels[:, None] == across.labels) > limits.nms_thresh
    swap &= (alone.scores[:, None] - across.scores).abs() <= tolerance.score
    return int((near.any(dim=1) | tie.any(dim=1) | swap.any(dim=1)).sum())


def _without(found: Found, places: Tensor) -> Found:
    rest = torch.ones(len(found.scores), dtype=torch.bool)
    rest[places] = False
    return Found(*(values[rest] for values in found))


def _grown(boxes: Tensor) -> Tensor:
    """Half a pixel larger on every side: a box cut to nothing at the border overlaps nothing, not even itself."""
    return boxes + boxes.new_tensor([-0.5, -0.5, 0.5, 0.5])


def _largest(values: Tensor) -> float:
    return float(values.max()) if len(values) else 0.0
