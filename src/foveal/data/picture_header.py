"""Whether a picture's header can be true: a small file that claims to be a huge picture would fill memory."""

from __future__ import annotations

from PIL import Image

SMALL_PIXELS = 16_000_000
"""Up to here a header is believed; above, the file must be large enough for what it promises ..."""
PIXELS_PER_BYTE = {"JPEG": 512, "BMP": 128}
"""... by the least that its coding can take (JPEG: one bit per 8 x 8 block; BMP: two bytes a run of 255) ..."""
OTHER_PIXELS_PER_BYTE = 4096
"""... or, where blank areas may cost next to nothing, by what no picture with anything to see in it comes near."""
ANIMATION_PIXELS_PER_BYTE = 256
"""An animated WEBP has a canvas of any size around frames of another; all of the canvas is held, several times."""
WEBP_SIDE = 16_383
"""No coded WEBP is wider or higher (RFC 9649, section 2.5); the canvas of an animation might say so."""


def doubt_header(image: Image.Image, file_bytes: int) -> str:
    """Why an opened picture cannot be as large as its header says; empty: it can."""
    width, height = image.size
    if image.format == "WEBP" and max(width, height) > WEBP_SIDE:
        return f"no WEBP is larger than {WEBP_SIDE} pixels a side, and its header says {width} x {height}"
    pixels = width * height
    if pixels > SMALL_PIXELS and file_bytes < pixels // _pixels_per_byte(image):
        return f"{file_bytes:,} bytes cannot hold the {width} x {height} pixels of its header"
    return ""


def _pixels_per_byte(image: Image.Image) -> int:
    if getattr(image, "is_animated", False) and image.format == "WEBP":
        return ANIMATION_PIXELS_PER_BYTE
    return PIXELS_PER_BYTE.get(image.format or "", OTHER_PIXELS_PER_BYTE)
