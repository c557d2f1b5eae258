"""Row: which anchors of an 800 x 1344 picture stand for which of its boxes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from foveal.bench.case import Case, Setup
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.matcher import match_iou
from foveal.types import AnchorLevel

HEIGHT, WIDTH = 800, 1344
QUICK_HEIGHT, QUICK_WIDTH = 160, 192
FOREGROUND, BACKGROUND = 0.5, 0.4
BOXES = ((100, 50, 60), (7, 10, 60))
"""Boxes in the picture, ratio to reach, most megabytes; 7 is the mean of COCO."""


def retinanet_levels(height: int, width: int, device: str = "cpu") -> tuple[AnchorLevel, ...]:
    """P3 to P7 with the paper's nine anchors a cell; 201,600 anchors at 800 x 1344."""
    levels = []
    for exponent in range(3, 8):
        stride = 2**exponent
        sizes = [4 * stride * 2 ** (octave / 3) for octave in range(3)]
        cell = cell_anchors(sizes, [0.5, 1.0, 2.0]).to(device)
        levels.append(grid_anchors(cell, stride, -(-height // stride), -(-width // stride)))
    return tuple(levels)


def coco_like_boxes(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """[M, 4] xyxy inside the picture, sides from 8 px to the whole, spread evenly on a logarithmic scale."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([width, height], dtype=torch.float32)
    side = 8 * (extent / 8) ** torch.rand(count, 2, generator=generator)
    corner = torch.rand(count, 2, generator=generator) * (extent - side)
    return torch.cat([corner, corner + side], dim=1)


def cases(setup: Setup) -> Iterator[Case]:
    """A crowded picture and a usual one."""
    height, width = (QUICK_HEIGHT, QUICK_WIDTH) if setup.quick else (HEIGHT, WIDTH)
    levels = retinanet_levels(height, width, setup.device)
    anchors = torch.cat([level.boxes for level in levels])
    for count, target, memory in BOXES:
        boxes = coco_like_boxes(count, height, width).to(setup.device)
        yield Case(
            f"matching {len(anchors):,} anchors x {count} boxes",
            "torchvision",
            partial(match_iou, levels, boxes, FOREGROUND, BACKGROUND, True),
            partial(_dense, anchors, boxes),
            difference,
            target=target,
            memory_target=memory,
            traffic=anchors.nbytes + len(anchors) * 8,
        )


def difference(ours: Tensor, baseline: Tensor) -> str:
    """Anchors that were given to another box, and objects there are."""
    if not (baseline >= 0).any():
        raise ValueError("no object to compare")
    return (
        f"{int((ours != baseline).sum())} mismatches of {len(ours):,}, {int((baseline >= 0).sum()):,} objects"
    )


def _dense(anchors: Tensor, boxes: Tensor) -> Tensor:
    """As torchvision's RetinaNet.compute_loss."""
    matcher = Matcher(FOREGROUND, BACKGROUND, allow_low_quality_matches=True)
    matched: Tensor = matcher(box_iou(boxes, anchors))
    return matched
