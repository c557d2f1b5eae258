"""The pixels of a loaded Pillow picture, whatever its mode, as an array of 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

from foveal.types import Array

STRIP_PIXELS = 65536
"""Pixels that are taken out of Pillow at a time: few enough for the cache."""

_PHOTOMETRIC_TAG = 262
_BITS_PER_SAMPLE_TAG = 258


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture of any mode -> mode RGB, transparency over white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _high_bits_to_rgb(image)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"pixels are 32-bit or signed numbers (mode {image.mode}) whose black and white are not defined; "
            "convert it to 8 or 16 bits"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def to_array(image: Image.Image) -> Array:
    """[H, W, 3] uint8 of a picture of mode RGB; writable, unlike the array that Pillow exposes.

    Strip by strip: of the whole picture Pillow makes two copies before the one that is kept, and memory that
    was never touched before is many times slower than the processor's cache.
    """
    array = np.empty((image.height, image.width, 3), dtype=np.uint8)
    rows = max(1, STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        array[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return array


def _high_bits_to_rgb(image: Image.Image) -> Image.Image:
    """A grey picture of 9..16 bits -> RGB by its eight highest bits."""
    values = np.asarray(image).astype(np.int32)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0]
    grey = np.clip(values >> (bits - 8), 0, 255)
    if tags.get(_PHOTOMETRIC_TAG) == 0:  # White is zero; Pillow inverts this for 8 bits only.
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
