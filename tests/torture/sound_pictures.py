"""A picture as files of five formats, in every kind of coding that their decoders have rooms for."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

from PIL import Image

EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}


def _saved(format: str, mode: str = "RGB", frames: int = 1, **options: Any) -> Callable[[Image.Image], bytes]:
    def make(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        more = [image.transpose(Image.Transpose.ROTATE_180)] * (frames - 1)
        several = {"save_all": True, "append_images": more} if more else {}
        grey = image.convert("L")
        if mode == "I;16":
            picture = Image.frombytes(
                "I;16", grey.size, bytes(v for level in grey.tobytes() for v in (7, level))
            )
        elif mode.endswith("A"):
            picture = (grey if mode == "LA" else image).convert(mode)
            picture.putalpha(grey)
        else:
            picture = image.convert(mode)
        picture.save(buffer, format, **several, **options)
        return buffer.getvalue()

    return make


def _exif(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    exif.get_ifd(0x8769)[0x9286] = b"a comment"
    exif.get_ifd(0x8825)[0x0001] = "N"
    return exif


def _run_length(image: Image.Image) -> bytes:
    """A BMP in run lengths (BI_RLE8), which Pillow reads and does not write."""
    pixels = image.convert("L").quantize(16)
    width, height = pixels.size
    rows = bytearray()
    for y in reversed(range(height)):
        x = 0
        while x < width:
            value, run = pixels.getpixel((x, y)), 1
            while x + run < width and run < 255 and pixels.getpixel((x + run, y)) == value:
                run += 1
            rows += bytes((run, value))
            x += run
        rows += b"\0\0"
    rows += b"\0\1"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    start = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + bytes(rows)


VARIANTS: dict[str, list[Callable[[Image.Image], bytes]]] = {
    "JPEG": [
        _saved("JPEG", exif=_exif()),
        _saved("JPEG", progressive=True, quality=60),
        _saved("JPEG", "L", optimize=True),
        _saved("JPEG", "CMYK"),
        _saved("JPEG", subsampling=0, restart_marker_rows=1, icc_profile=bytes(range(200))),
    ],
    "PNG": [
        _saved("PNG", exif=_exif()),
        _saved("PNG", "P"),
        _saved("PNG", "RGBA"),
        _saved("PNG", "LA"),
        _saved("PNG", "1"),
        _saved("PNG", "I;16"),
        _saved("PNG", "L", transparency=3),
    ],
    "WEBP": [
        _saved("WEBP", exif=_exif()),
        _saved("WEBP", lossless=True),
        _saved("WEBP", "RGBA", xmp=b"<x:xmpmeta/>"),
        _saved("WEBP", frames=3),
    ],
    "BMP": [_saved("BMP"), _saved("BMP", "P"), _saved("BMP", "1"), _saved("BMP", "RGBA"), _run_length],
    "TIFF": [
        _saved("TIFF", exif=_exif()),
        _saved("TIFF", compression="tiff_lzw"),
        _saved("TIFF", compression="tiff_adobe_deflate"),
        _saved("TIFF", compression="jpeg"),
        _saved("TIFF", "1", compression="group4"),
        _saved("TIFF", "P", compression="packbits"),
        _saved("TIFF", "I;16", big_tiff=True),
        _saved("TIFF", frames=4),
    ],
}
