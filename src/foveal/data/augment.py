"""Box-aware augmentation: pure functions on a picture and its boxes, all chance from a generator handed in.

A picture stays uint8 and is resized once: cropping and zooming choose the window of the stored picture that
will be seen, and the window is scaled straight to its size on the canvas. Boxes stay whole through the
geometry and are cut once at the end, so that the visible share is a share of the whole box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveal.config.schema import Augment
from foveal.data.colour import colour
from foveal.ops.letterbox import blank, resize_picture
from foveal.types import Letterbox

Size = tuple[int, int]
CROP_TRIES = 20
CROP_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Share of some box that a crop must keep, one drawn per crop (SSD, Liu et al. 2016, section 2.2)."""
LEAST_SIDE = 1.0
"""A cut box thinner than this, in pixels, is dropped: its size in anchor units would be far out of range."""


class Sample(NamedTuple):
    """A picture and its ground truth, in the picture's own pixels."""

    image: Tensor
    """[3, H, W] uint8 RGB."""
    boxes: Tensor
    """[M, 4] float32 xyxy."""
    labels: Tensor
    """[M] int64."""
    crowd: Tensor
    """[M] bool."""

    @property
    def size(self) -> Size:
        """Height and width of the picture."""
        return int(self.image.shape[-2]), int(self.image.shape[-1])


def augment(
    sample: Sample, canvas: Size, settings: Augment, rng: np.random.Generator
) -> tuple[Sample, Letterbox]:
    """One picture on a canvas (height, width), varied as the settings say.

    The letterbox tells where the varied picture lies on the canvas, at scale 1: what was cropped away or
    mirrored cannot be undone.
    """
    placed = arrange(sample, canvas, settings, rng)
    height, width = placed.size
    top = left = 0
    if settings.scale_jitter is not None:
        top, left = int(rng.integers(canvas[0] - height + 1)), int(rng.integers(canvas[1] - width + 1))
    image = blank(canvas)
    image[:, top : top + height, left : left + width] = placed.image
    boxes = placed.boxes + placed.boxes.new_tensor([left, top, left, top])
    return placed._replace(image=image, boxes=boxes), Letterbox(1.0, 1.0, left, top, height, width)


def mosaic(
    samples: Sequence[Sample], canvas: Size, settings: Augment, rng: np.random.Generator
) -> tuple[Sample, Letterbox]:
    """Four pictures joined at a random point of the canvas, each varied by itself (YOLOv4, section 3.4)."""
    if len(samples) != 4:
        raise ValueError(f"a mosaic takes 4 pictures, got {len(samples)}")
    height, width = canvas
    y, x = (round(side * rng.uniform(0.35, 0.65)) for side in canvas)
    # Each cell: its corner on the canvas, its size, and which corner of it touches the joint.
    cells = ((0, 0, y, x), (0, x, y, width - x), (y, 0, height - y, x), (y, x, height - y, width - x))
    image = blank(canvas)
    parts = []
    for place, (sample, (top, left, cell_height, cell_width)) in enumerate(zip(samples, cells, strict=True)):
        part = arrange(sample, (cell_height, cell_width), settings, rng, fill=rng.uniform(0.5, 1.0))
        # Padding, where there is any, goes to the canvas' rim.
        top += (cell_height - part.size[0]) * (place in (0, 1))
        left += (cell_width - part.size[1]) * (place in (0, 2))
        image[:, top : top + part.size[0], left : left + part.size[1]] = part.image
        parts.append(part._replace(boxes=part.boxes + part.boxes.new_tensor([left, top, left, top])))
    joined = Sample(
        image,
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.crowd for part in parts]),
    )
    return joined, Letterbox(1.0, 1.0, 0.0, 0.0, height, width)


def arrange(
    sample: Sample, room: Size, settings: Augment, rng: np.random.Generator, fill: float = 0.0
) -> Sample:
    """Crop, zoom, turn, mirror and colour a picture so that it fits into ``room`` (height, width).

    fill: 0 scales the picture to fit, 1 to cover the room (what overflows is cut), between is between.
    Boxes are cut at the picture's edge; those that keep too little are dropped.
    """
    quarters = int(rng.choice((1, 3))) if rng.random() < settings.rotate_90 else 0
    height, width = room[::-1] if quarters else room
    if rng.random() < settings.crop:
        sample = crop(sample, choose_crop(sample, rng))
    ratios = sorted((height / sample.size[0], width / sample.size[1]))
    scale = ratios[0] ** (1 - fill) * ratios[1] ** fill
    if settings.scale_jitter is not None:
        low, high = settings.scale_jitter
        scale *= float(np.exp(rng.uniform(np.log(low), np.log(high))))
    sample = crop(sample, _seen_window(sample.size, (height / scale, width / scale), rng))
    new_size = (
        min(height, max(1, round(sample.size[0] * scale))),
        min(width, max(1, round(sample.size[1] * scale))),
    )
    sample = resize(sample, new_size)
    if settings.colour > 0:
        sample = sample._replace(image=colour(sample.image, settings.colour, rng))
    if quarters:
        sample = rotate_90(sample, quarters)
    if rng.random() < settings.horizontal_flip:
        sample = horizontal_flip(sample)
    if rng.random() < settings.vertical_flip:
        sample = vertical_flip(sample)
    return keep_visible(sample, settings.min_visible)


def horizontal_flip(sample: Sample) -> Sample:
    """Left and right exchanged."""
    x1, y1, x2, y2 = sample.boxes.unbind(-1)
    width = sample.size[1]
    boxes = torch.stack([width - x2, y1, width - x1, y2], -1)
    return sample._replace(image=sample.image.flip(-1), boxes=boxes)


def vertical_flip(sample: Sample) -> Sample:
    """Top and bottom exchanged."""
    x1, y1, x2, y2 = sample.boxes.unbind(-1)
    height = sample.size[0]
    boxes = torch.stack([x1, height - y2, x2, height - y1], -1)
    return sample._replace(image=sample.image.flip(-2), boxes=boxes)


def rotate_90(sample: Sample, quarters: int = 1) -> Sample:
    """Turned counter-clockwise by quarters; height and width change places with an odd number."""
    boxes = sample.boxes
    height, width = sample.size
    for _ in range(quarters % 4):
        x1, y1, x2, y2 = boxes.unbind(-1)
        boxes = torch.stack([y1, width - x2, y2, width - x1], -1)
        height, width = width, height
    return sample._replace(image=torch.rot90(sample.image, quarters, (-2, -1)), boxes=boxes)


def crop(sample: Sample, window: tuple[int, int, int, int]) -> Sample:
    """The part inside ``window`` (x1, y1, x2, y2), whole pixels. Boxes are moved, not yet cut."""
    x1, y1, x2, y2 = window
    boxes = sample.boxes - sample.boxes.new_tensor([x1, y1, x1, y1])
    return sample._replace(image=sample.image[:, y1:y2, x1:x2], boxes=boxes)


def resize(sample: Sample, size: Size) -> Sample:
    """Scaled to (height, width)."""
    y, x = size[0] / sample.size[0], size[1] / sample.size[1]
    boxes = sample.boxes * sample.boxes.new_tensor([x, y, x, y])
    return sample._replace(image=resize_picture(sample.image, size), boxes=boxes)


def keep_visible(sample: Sample, min_visible: float) -> Sample:
    """Boxes cut at the picture's edges, without those that keep less than ``min_visible`` of their area.

    A crowd box stays while any part of it is seen: it marks a region to leave alone, however small.
    """
    height, width = sample.size
    limit = sample.boxes.new_tensor([width, height, width, height])
    cut = torch.minimum(sample.boxes.clamp(min=0), limit)
    sides, whole_sides = cut[:, 2:] - cut[:, :2], sample.boxes[:, 2:] - sample.boxes[:, :2]
    share = sides.prod(-1) / whole_sides.prod(-1)
    is_cut = (sides < whole_sides).any(-1)
    seen = (sides > 0).all(-1)
    enough = ~is_cut | ((share >= min_visible) & (sides >= LEAST_SIDE).all(-1))
    keep = seen & (enough | sample.crowd)
    return Sample(sample.image, cut[keep], sample.labels[keep], sample.crowd[keep])


def choose_crop(sample: Sample, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Window (x1, y1, x2, y2) that keeps at least a drawn share of some box; else the whole picture."""
    height, width = sample.size
    boxes = sample.boxes[~sample.crowd].numpy()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    least = float(rng.choice(CROP_SHARES))
    for _ in range(CROP_TRIES):
        window_height = max(1, round(height * rng.uniform(0.3, 1)))
        window_width = max(1, round(width * rng.uniform(0.3, 1)))
        if not 0.5 <= (window_height * width) / (window_width * height) <= 2:
            continue
        y1, x1 = int(rng.integers(height - window_height + 1)), int(rng.integers(width - window_width + 1))
        window = (x1, y1, x1 + window_width, y1 + window_height)
        if len(boxes) == 0:
            return window
        sides = np.minimum(boxes[:, 2:], window[2:]) - np.maximum(boxes[:, :2], window[:2])
        if (sides.clip(min=0).prod(-1) >= least * areas).any():
            return window
    return 0, 0, width, height


def _seen_window(
    size: Size, wanted: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Random window of a picture, no larger than it, of about the wanted height and width."""
    height, width = (min(side, max(1, round(want))) for side, want in zip(size, wanted, strict=True))
    y1, x1 = int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1))
    return x1, y1, x1 + width, y1 + height
