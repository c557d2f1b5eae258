"""Pictures from files, as a person sees them: upright, RGB, 8 bits.

Pillow is the only decoder, with a fixed list of formats and a pixel cap that is judged from the header.
There is no colour management: an embedded colour profile is ignored, as detectors are trained without it.
"""

from __future__ import annotations

import ctypes
import io
import logging
import os
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from foveal.data.picture_header import doubt_header
from foveal.data.rgb import to_array, to_rgb
from foveal.errors import DataError
from foveal.types import Array

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What may be opened; each further format is further attack surface."""
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Extensions of those formats, in lower case."""
MAX_PIXELS = 250_000_000
"""Default cap; a server sets a lower one."""

# Pillow logs what it dislikes in a file; without a handler that would go to the user's screen line by line.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# libtiff writes there by itself, without the file's name; what matters of it comes as an exception, too. Where
# it is no library of its own (Windows), it cannot be reached.
with suppress(OSError, AttributeError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a stored picture upright (EXIF 2.3, tag Orientation)."""

# What Pillow's readers raise on broken files; its own exceptions are ValueError and OSError's children,
# except the bomb error, which is a bare Exception.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


class NotAPictureError(DataError):
    """A file of no format that may be opened."""


class TooManyPixelsError(DataError):
    """A picture over the cap, by its header."""


class PictureSize(NamedTuple):
    """Size of a picture, upright and as stored, in pixels."""

    height: int
    width: int
    stored_height: int
    stored_width: int
    orientation: int
    """EXIF orientation, 1..8; 1 is upright."""


def read_picture(
    path: str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
    content: bytes | None = None,
    before_decoding: Callable[[PictureSize], object] | None = None,
) -> Array:
    """Decode one picture to [H, W, 3] uint8 RGB, upright by its EXIF orientation.

    Transparent pixels show the white page behind them; grey and palette pictures are spread to three
    channels; 16-bit values are shifted right by 8, never clipped. Of an animation, the first frame.
    content: the file's bytes, where they are at hand; ``path`` is then only its name, for errors.
    before_decoding: called with the size in the header before memory is taken for the pixels.
    DataError for a file that is missing, broken, of another format, or over ``max_pixels``.
    """
    return to_array(read_image(path, max_pixels, content, before_decoding))


def read_image(
    path: str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
    content: bytes | None = None,
    before_decoding: Callable[[PictureSize], object] | None = None,
) -> Image.Image:
    """``read_picture`` as Pillow holds it, mode RGB: parts of it can be taken without a copy of the whole."""
    with open_picture(os.fspath(path), max_pixels, content) as (image, size):
        if before_decoding is not None:
            before_decoding(size)
        if image.format == "TIFF":
            # Pillow turns a TIFF upright while loading it, and would obey XMP where the tag is absent.
            image.info.pop("xmp", None)
            image.info.pop("XML:com.adobe.xmp", None)
        return _upright(image)


def upright_rgb(image: Image.Image) -> Array:
    """A Pillow picture -> [H, W, 3] uint8 RGB by the rules of ``read_picture``.

    ValueError for a mode whose black and white are not defined.
    """
    return to_array(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    pixels = to_rgb(image)
    orientation = _orientation(image)
    if image.format != "TIFF" and orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    return pixels


def picture_size(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> PictureSize:
    """Size of one picture from its header alone; the pixels are not decoded.

    DataError as in ``read_picture``, but a fault in the pixel data goes unseen.
    """
    with open_picture(os.fspath(path), max_pixels) as (_, size):
        return size


def rotate_boxes(boxes: Array, orientation: int, stored_height: int, stored_width: int) -> Array:
    """Boxes given in a stored picture's pixels -> boxes in the upright picture's pixels.

    boxes: [M, 4] xyxy, 0-based continuous. orientation: EXIF, 1..8. ValueError outside.
    """
    x1, y1, x2, y2 = np.moveaxis(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), 1, 0)
    right, left = stored_width - x1, stored_width - x2
    bottom, top = stored_height - y1, stored_height - y2
    corners = {
        1: (x1, y1, x2, y2),
        2: (left, y1, right, y2),
        3: (left, top, right, bottom),
        4: (x1, top, x2, bottom),
        5: (y1, x1, y2, x2),
        6: (top, x1, bottom, x2),
        7: (top, left, bottom, right),
        8: (y1, left, y2, right),
    }.get(orientation)
    if corners is None:
        raise ValueError(f"EXIF orientation must be 1..8, not {orientation}")
    return np.stack(corners, axis=1)


class _Quiet:
    """Context without warnings, for several threads: Python's own puts back whatever was set when it began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._outer: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._outer = warnings.catch_warnings()
                self._outer.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._outer is not None:
                self._outer.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def open_picture(
    path: str | os.PathLike[str], max_pixels: int, content: bytes | None = None
) -> Iterator[tuple[Image.Image, PictureSize]]:
    """Open a picture, judge its header, and turn every way a decoder can fail into one DataError.

    content: as for ``read_picture``. The pixels are decoded when the caller loads them, inside this context.
    """
    try:
        source, file_bytes = _source(path, content)
        # Pillow's own limit is global: it is only ever raised, to what the caller allows.
        if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
            Image.MAX_IMAGE_PIXELS = max_pixels
        with _QUIET, Image.open(source, formats=FORMATS) as image:
            size = _size(image)
            if size.height * size.width > max_pixels:
                raise _too_large(path, max_pixels, f"{size.width} x {size.height}")
            doubt = doubt_header(image, file_bytes)
            if doubt:
                raise DataError(f"{path}: {doubt}: damaged, or made to fill memory")
            yield image, size
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such picture") from error
    except UnidentifiedImageError as error:
        raise NotAPictureError(f"{path}: not a picture that can be read ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, max_pixels, "far more") from error
    except MemoryError as error:
        raise DataError(f"{path}: the picture does not fit in memory") from error
    except _DECODER_ERRORS as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the picture cannot be decoded: {cause}") from error


def _source(path: str | os.PathLike[str], content: bytes | None) -> tuple[Path | io.BytesIO, int]:
    """What Pillow is to open, and its bytes."""
    if content is not None:
        return io.BytesIO(content), len(content)
    # A pipe or a device in the place of a picture would block the reader for ever.
    file = os.stat(path)
    if not stat.S_ISREG(file.st_mode):
        raise DataError(f"{path}: not a picture: it is no regular file")
    return Path(path), file.st_size


def _too_large(path: str | os.PathLike[str], max_pixels: int, found: str) -> TooManyPixelsError:
    return TooManyPixelsError(
        f"{path}: {found} pixels, over the limit of {max_pixels:,} pixels: shrink the picture"
    )


def _size(image: Image.Image) -> PictureSize:
    orientation = _orientation(image)
    width, height = image.size
    if orientation < 5:
        return PictureSize(height, width, height, width, orientation)
    if image.format == "TIFF":  # Pillow has already swapped the sides of a TIFF.
        return PictureSize(height, width, width, height, orientation)
    return PictureSize(width, height, height, width, orientation)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation from the header; anything that is not 1..8 is upright, as in browsers.

    Not ``Image.getexif``: that decodes a whole PNG in search of a late chunk, and follows XMP, which viewers
    do not.
    """
    if image.format == "TIFF":
        value = image.tag_v2.get(_ORIENTATION_TAG, 1)  # type: ignore[attr-defined]
    elif isinstance(image.info.get("exif"), bytes):
        exif = Image.Exif()
        try:
            exif.load(image.info["exif"])
            value = exif.get(_ORIENTATION_TAG, 1)
        except _DECODER_ERRORS:  # Broken metadata does not spoil a picture.
            return 1
    else:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
