"""What can be said of the labels before anything is trained: do boxes find anchors, and lie on something?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveal.diagnosis.anchors.sides import sides_in_words
from foveal.diagnosis.finding import Finding
from foveal.diagnosis.preflight.case import Case
from foveal.types import LossOutput

MOST_UNMATCHED_PICTURES = 0.5
UNMATCHED_BOXES = 0.1
"""AP50 cannot reach 0.9 where more boxes than these have no anchor to learn from."""
STANDS_OUT = 1.3
FEWEST_BOXES = 12
MOSTLY_INSIDE = 0.9

Reading = Callable[[Tensor], Tensor]
READINGS: dict[str, Reading] = {
    "y1, x1, y2, x2": lambda b: b[:, [1, 0, 3, 2]],
    "x, y, width, height": lambda b: torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], dim=1),
}
"""Other meanings of four numbers that were read as x1, y1, x2, y2."""


def matching_findings(case: Case, loss: LossOutput) -> list[Finding]:
    """Pictures and boxes without an anchor; loss: of the eight pictures, whatever its values."""
    stats = {name: float(value) for name, value in loss.stats.items()}
    pictures = stats.get("pictures_unmatched", 0.0) / max(stats.get("pictures_with_boxes", 1.0), 1e-9)
    boxes = stats.get("boxes_unmatched", 0.0) / max(stats.get("boxes", 1.0), 1e-9)
    if max(pictures, boxes) < UNMATCHED_BOXES and stats["positives"] > 0:
        return []
    sides = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=1).sqrt() for b, _ in case.truth_on_canvas()]
    anchors = [s for level in case.config.model.architecture.head.params.scaled_sizes() for s in level]
    median = float(torch.cat(sides).median())
    message = (
        f"positives per picture: {stats['positives']:.1f}; {100 * boxes:.0f} % of boxes and {100 * pictures:.0f} "
        f"% of pictures have none: {sides_in_words(median, min(anchors), max(anchors))}"
    )
    bad = stats["positives"] == 0 or pictures >= MOST_UNMATCHED_PICTURES
    where = "model.architecture.head.params.anchor_sizes"
    fix = "run foveal doctor CONFIG --fit-anchors"
    return [Finding("no_positives", "error" if bad else "warning", where, message, fix)]


def degenerate_findings(case: Case) -> list[Finding]:
    """Boxes whose second corner is not below and right of the first."""
    boxes = torch.cat([target.boxes[~target.crowd] for target in case.batch.targets])
    bad = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)
    if not bool(bad.any()):
        return []
    inside = _inside(READINGS["x, y, width, height"](boxes), *case.canvas)
    message = f"{100 * float(bad.float().mean()):.0f} % of boxes have x2 <= x1 or y2 <= y1"
    if float(inside.float().mean()) >= MOSTLY_INSIDE:
        message += (
            f"; read as x, y, width, height {100 * float(inside.float().mean()):.0f} % lie in their pictures"
        )
    fix = "give boxes as x1, y1, x2, y2; run foveal doctor on the labels"
    return [Finding("box_order", "error", "data.train", message, fix)]


def lying_findings(case: Case) -> list[Finding]:
    """Boxes stand out from what is around them; where they do so far more in another reading, that one is right.

    Standing out: the distance of the mean colours inside of a box and in a frame around it, by the spread of the
    picture's colours.
    """
    given: list[Tensor] = []
    others: dict[str, list[Tensor]] = {name: [] for name in READINGS}
    for image, target, letterbox in zip(*case.batch[:2], case.batch.letterboxes, strict=True):
        boxes = target.boxes[~target.crowd]
        size = letterbox.height * letterbox.scale_y, letterbox.width * letterbox.scale_x
        colour = image[:, : round(size[0]), : round(size[1])].float()
        given.append(_contrast(colour, boxes))
        for name, read in READINGS.items():
            again = read(boxes)
            others[name].append(torch.where(_inside(again, *size), _contrast(colour, again), torch.nan))
    plain = torch.cat(given)
    if len(plain) < FEWEST_BOXES:
        return []
    for name, parts in others.items():
        other = torch.cat(parts)
        if float(other.isfinite().float().mean()) < MOSTLY_INSIDE:
            continue
        ratio = float(other.nanmean() / plain.mean().clamp(min=1e-6))
        if ratio >= STANDS_OUT:
            message = (
                f"read as {name} the boxes of the training labels stand out {ratio:.1f} times as much from what "
                "is around them as they do as x1, y1, x2, y2"
            )
            fix = "look at them with foveal train CONFIG --show-batch, and mend the labels' order"
            return [Finding("box_order", "warning", "data.train", message, fix)]
    return []


def _inside(boxes: Tensor, height: float, width: float) -> Tensor:
    limit = boxes.new_tensor([width, height, width, height]) + 1
    return ((boxes >= -1) & (boxes <= limit)).all(dim=1) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def _contrast(colour: Tensor, boxes: Tensor) -> Tensor:
    """[M] how far the mean colour of each box is from that of a frame of half its size around it."""
    spread = float(colour.std()) + 1e-6
    half = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0) / 4
    frame = torch.cat([boxes[:, :2] - half, boxes[:, 2:] + half], dim=1)
    found = []
    for inner, outer in zip(boxes, frame, strict=True):
        (a, n), (b, m) = (_sum_in(colour, part) for part in (inner, outer))
        found.append(((a / max(n, 1) - (b - a) / max(m - n, 1)) / spread).norm())
    return torch.stack(found) if found else colour.new_zeros(0)


def _sum_in(colour: Tensor, box: Tensor) -> tuple[Tensor, int]:
    """Sum of the colours [3] in a box, and how many pixels it covers."""
    _, height, width = colour.shape
    x1, x2 = sorted(int(v) for v in box[[0, 2]].round().clamp(0, width))
    y1, y2 = sorted(int(v) for v in box[[1, 3]].round().clamp(0, height))
    part = colour[:, y1:y2, x1:x2]
    return part.sum((1, 2)), part.shape[1] * part.shape[2]
