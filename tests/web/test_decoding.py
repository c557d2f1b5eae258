"""What the page makes of picture files: the pixels that Python sees, and a refusal before memory is taken."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.data.decode import read_picture
from foveal.types import Array

pytestmark = pytest.mark.browser
RNG = np.random.default_rng(0)
WIDTH, HEIGHT = 40, 24
NOISE = Image.fromarray(RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
FLAT = Image.fromarray(np.kron(RNG.integers(0, 256, (3, 5, 3), np.uint8), np.ones((16, 16, 1), np.uint8)))
"""Squares of one colour each, as large as JPEG's own: decoders do not differ in them."""
DECODE = """async text => {
  const { decode } = await import("/decoding.js");
  const { promisedSize } = await import("/promised.js");
  const { bitmapRows } = await import("/placing.js");
  const blob = new Blob([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))]);
  const promised = await promisedSize(blob);
  let bitmap = null;
  try {
    bitmap = await decode(blob);
  } catch (fault) {
    return { promised, fault: fault.message };
  }
  let pixels = "";
  bitmapRows(bitmap)(0, bitmap.height).forEach((value, place) => {
    if (place % 4 < 3) pixels += String.fromCharCode(value);
  });
  return { promised, height: bitmap.height, width: bitmap.width, pixels: btoa(pixels) };
}"""


def in_browser(page: Any, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(DECODE, base64.b64encode(content).decode())
    return found


def pixels_of(found: dict[str, Any]) -> Array:
    values = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8)
    return values.reshape(found["height"], found["width"], 3)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any depth and colour type; rows: each begins with its filter's byte."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def deep(colour: int, channels: int) -> bytes:
    """A PNG of 16 bits a value."""
    values = RNG.integers(0, 65536, (HEIGHT, WIDTH * channels)).astype(">u2")
    return png(WIDTH, HEIGHT, 16, colour, b"".join(b"\0" + row.tobytes() for row in values))


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def noise(channels: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8))


SAME = {
    "grey": saved(NOISE.convert("L"), "PNG"),
    "two colours": saved(NOISE.convert("1"), "PNG"),
    "palette": saved(NOISE.convert("P"), "PNG"),
    "one colour of a palette clear": saved(NOISE.convert("P"), "PNG", transparency=3),
    "one colour clear": saved(NOISE, "PNG", transparency=NOISE.getpixel((0, 0))),
    "alpha": saved(noise(4), "PNG"),
    "grey and alpha": saved(noise(4).convert("LA"), "PNG"),
    "16 bits, grey": deep(0, 1),
    "16 bits": deep(2, 3),
    "16 bits and alpha": deep(6, 4),
    "bmp": saved(NOISE, "BMP"),
    "webp": saved(NOISE, "WEBP", lossless=True),
    "first of an animation": saved(NOISE, "WEBP", lossless=True, save_all=True, append_images=[noise(3)]),
    **{f"turned {way}": saved(NOISE, "PNG", exif=turned(way)) for way in range(2, 9)},
    **{f"jpeg turned {way}": saved(FLAT, "JPEG", subsampling=0, exif=turned(way)) for way in (3, 6)},
}


@pytest.mark.parametrize("name", SAME)
def test_the_pixels_are_those_of_python(page: Any, name: str) -> None:
    assert np.array_equal(pixels_of(in_browser(page, SAME[name])), read_picture(name, content=SAME[name]))


def test_alpha_in_a_webp_differs_by_one_at_most(page: Any) -> None:
    content = saved(noise(4), "WEBP", lossless=True, exact=True)
    found = pixels_of(in_browser(page, content)).astype(int)
    assert np.abs(found - read_picture("a.webp", content=content)).max() <= 1


def late_jpeg() -> bytes:
    """A JPEG whose size stands behind 200 kB of metadata."""
    plain = saved(NOISE, "JPEG")
    return plain[:2] + (b"\xff\xe5" + struct.pack(">H", 65535) + bytes(65533)) * 3 + b"\xff" + plain[2:]


@pytest.mark.parametrize(
    "content",
    [
        saved(NOISE, "JPEG"),
        saved(NOISE, "JPEG", progressive=True),
        late_jpeg(),
        saved(NOISE, "PNG"),
        saved(NOISE, "BMP"),
        saved(NOISE, "WEBP"),
        saved(NOISE, "WEBP", lossless=True),
        saved(NOISE, "WEBP", exif=turned(1)),
    ],
    ids=["jpeg", "progressive", "late", "png", "bmp", "webp", "lossless", "extended"],
)
def test_the_size_is_read_from_the_first_bytes(page: Any, content: bytes) -> None:
    found = in_browser(page, content)
    assert found["promised"] == {"width": WIDTH, "height": HEIGHT}
    assert (found["width"], found["height"]) == (WIDTH, HEIGHT)


HUGE_JPEG = saved(NOISE, "JPEG").replace(
    struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 20000, 20000), 1
)
NONE = "This is not a picture that the browser can read."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (png(20000, 20000, 1, 0, b""), "The picture is too large: 20000 \u00d7 20000 pixels;"),
        (HUGE_JPEG, "The picture is too large: 20000 \u00d7 20000 pixels;"),
        (png(40000, 1, 1, 0, b""), "The picture is too large: 40000 \u00d7 1 pixels;"),
        (b"", "The file is empty."),
        (b"hello", NONE),
        (saved(NOISE, "JPEG")[:200], NONE),
        (b"\xff\xd8\xff", NONE),
        (b"\xff\xd8" + b"\xff" * 100, NONE),
        (b"RIFF" + bytes(40), NONE),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>', NONE),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), NONE),
    ],
    ids=["png_bomb", "jpeg_bomb", "wide", "empty", "text", "cut", "head", "fill", "riff", "svg", "heic"],
)
def test_what_cannot_be_looked_at_is_said(page: Any, content: bytes, text: str) -> None:
    assert in_browser(page, content)["fault"].startswith(text)
