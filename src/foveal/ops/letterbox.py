"""Placing a picture on the network's canvas, and taking boxes back: the only room that knows the rule.

The picture is scaled by one factor until it fits, put at the top left, and the rest is filled with grey.
Width and height are rounded to whole pixels, so the two exact scales may differ by a fraction of a pixel;
boxes are mapped with the exact ones, and ``undo_boxes`` is the inverse to within float rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.types import Letterbox

PAD_VALUE = 114
"""Grey of the padding, near the mean of natural pictures, so that it is quiet after normalisation."""
STRIDE_MULTIPLE = 32
"""Canvas sides are multiples of this, the stride of C5."""


def canvas_size(height: int, width: int, multiple: int = STRIDE_MULTIPLE) -> tuple[int, int]:
    """Smallest canvas (height, width) that holds the given size in multiples of the stride."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def size_policy(height: int, width: int) -> dict[str, Any]:
    """What a checkpoint says of this room's rule, for pictures of such a size: its canvas and how it is filled."""
    canvas = canvas_size(height, width)
    return {
        "height": canvas[0],
        "width": canvas[1],
        "pad_value": PAD_VALUE,
        "antialias": True,
        "place": "top_left",
    }


def fit_letterbox(height: int, width: int, canvas: tuple[int, int], zoom: float = 1.0) -> Letterbox:
    """Letterbox of a height x width picture on a canvas (height, width).

    zoom: factor on the fitting scale; above 1 the picture overflows the canvas (training only).
    ValueError where a side is not positive.
    """
    if min(height, width, *canvas) <= 0:
        raise ValueError(f"sizes must be positive: picture {height} x {width}, canvas {canvas}")
    scale = min(canvas[0] / height, canvas[1] / width) * zoom
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    return Letterbox(new_width / width, new_height / height, 0.0, 0.0, height, width)


def scaled_size(letterbox: Letterbox) -> tuple[int, int]:
    """Height and width of the scaled picture, in canvas pixels."""
    return round(letterbox.height * letterbox.scale_y), round(letterbox.width * letterbox.scale_x)


def resize_picture(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize [3, H, W] uint8 to (height, width), bilinear with antialiasing, staying uint8, channels last."""
    if tuple(image.shape[-2:]) == size:
        return image
    # Not ``image[None].contiguous(memory_format=channels_last)``: a batch of one keeps a stride by which torch
    # takes it for channels first, and then unpacks, resizes and writes every channel for itself.
    batch = image.permute(1, 2, 0).contiguous().unsqueeze(0).permute(0, 3, 1, 2)
    return F.interpolate(batch, size=size, mode="bilinear", antialias=True, align_corners=False).squeeze(0)


def blank(canvas: tuple[int, int]) -> Tensor:
    """[3, H, W] uint8 canvas of padding grey, channels last in memory."""
    return torch.full((*canvas, 3), PAD_VALUE, dtype=torch.uint8).permute(2, 0, 1)


def apply_letterbox(image: Tensor, letterbox: Letterbox, canvas: tuple[int, int]) -> Tensor:
    """Canvas [3, H, W] uint8 with the scaled picture on it, channels last; what overflows is cut off."""
    scaled = resize_picture(image, scaled_size(letterbox))
    top, left = round(letterbox.top), round(letterbox.left)
    out = blank(canvas)
    # A zoomed picture may begin outside the canvas: cut the same part from both sides.
    source_y, source_x = max(0, -top), max(0, -left)
    y, x = max(0, top), max(0, left)
    height = max(0, min(scaled.shape[-2] - source_y, canvas[0] - y))
    width = max(0, min(scaled.shape[-1] - source_x, canvas[1] - x))
    out[:, y : y + height, x : x + width] = scaled[
        :, source_y : source_y + height, source_x : source_x + width
    ]
    return out


def apply_boxes(boxes: Tensor, letterbox: Letterbox) -> Tensor:
    """Boxes [..., 4] from picture pixels to canvas pixels."""
    scale, shift = _affine(boxes, letterbox)
    return boxes * scale + shift


def undo_boxes(boxes: Tensor, letterbox: Letterbox) -> Tensor:
    """Boxes [..., 4] from canvas pixels back to picture pixels, clipped to the picture."""
    scale, shift = _affine(boxes, letterbox)
    limit = boxes.new_tensor([letterbox.width, letterbox.height] * 2)
    return torch.minimum(((boxes - shift) / scale).clamp(min=0), limit)


def _affine(boxes: Tensor, letterbox: Letterbox) -> tuple[Tensor, Tensor]:
    scale = boxes.new_tensor([letterbox.scale_x, letterbox.scale_y] * 2)
    shift = boxes.new_tensor([letterbox.left, letterbox.top] * 2)
    return scale, shift
