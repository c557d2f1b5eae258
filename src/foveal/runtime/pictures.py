"""A person's picture in any form -> pixels, and pixels -> the network's canvas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveal.data.decode import MAX_PIXELS, PictureSize, read_image, read_picture, upright_rgb
from foveal.data.rgb import STRIP_PIXELS
from foveal.errors import DataError, UsageError
from foveal.ops.letterbox import apply_letterbox, fit_letterbox
from foveal.runtime.remote import is_remote, public_name, read_remote
from foveal.types import Array, Letterbox

Picture = str | Path | bytes | Array | Image.Image
"""A file, an address that fsspec knows (``https://...``, ``s3://...``), a file's content, an array [H, W, 3] uint8
RGB or [H, W] uint8 grey, or a PIL picture."""
Encoded = str | Path | bytes
"""A picture that is still to be decoded."""


def load_picture(
    picture: Picture,
    max_pixels: int = MAX_PIXELS,
    before_decoding: Callable[[PictureSize], object] | None = None,
) -> Array:
    """[H, W, 3] uint8 RGB of a picture. max_pixels, before_decoding: of files, as for ``read_picture``."""
    if isinstance(picture, str | Path | bytes):
        name, content = _file(picture)
        return read_picture(name, max_pixels, content, before_decoding)
    if isinstance(picture, Image.Image):
        try:
            return upright_rgb(picture)
        except ValueError as error:
            raise UsageError(f"the picture cannot be used: {error}") from error
        except OSError as error:
            raise DataError(f"the picture cannot be decoded: {error}") from error
    if isinstance(picture, list | tuple):
        raise UsageError("one picture at a time; predictor.stream(pictures) goes through several")
    array = np.asarray(picture)
    if array.dtype != np.uint8 or 0 in array.shape or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise UsageError(
            f"a picture is [H, W, 3] uint8 RGB or [H, W] uint8 grey, not {list(array.shape)} {array.dtype}"
        )
    return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


def load_image(
    picture: Encoded, max_pixels: int, before_decoding: Callable[[PictureSize], object] | None = None
) -> Image.Image:
    """``load_picture`` of what is to be decoded, as Pillow holds it."""
    name, content = _file(picture)
    return read_image(name, max_pixels, content, before_decoding)


def _file(picture: Encoded) -> tuple[str | Path, bytes | None]:
    """The name that errors give it, and its content; none of a file, which is read as it is decoded."""
    if isinstance(picture, bytes):
        return f"picture of {len(picture):,} bytes", picture
    if isinstance(picture, str) and is_remote(picture):
        return public_name(picture), read_remote(picture)
    return picture, None


def cut_out(picture: Array | Image.Image, window: Tensor) -> Array:
    """[h, w, 3] uint8: the part of a picture in a window [4] xyxy.

    Of a Pillow picture strip by strip, as ``to_array``: of the part at once there would be four copies.
    """
    x1, y1, x2, y2 = window.tolist()
    if not isinstance(picture, Image.Image):
        return picture[y1:y2, x1:x2]
    array = np.empty((y2 - y1, x2 - x1, 3), dtype=np.uint8)
    rows = max(1, STRIP_PIXELS // (x2 - x1))
    for top in range(y1, y2, rows):
        bottom = min(top + rows, y2)
        array[top - y1 : bottom - y1] = np.asarray(picture.crop((x1, top, x2, bottom)))
    return array


def place_picture(pixels: Array, canvas: tuple[int, int]) -> tuple[Tensor, Letterbox]:
    """Canvas [3, H, W] uint8 with a picture on it, and how to take boxes back."""
    letterbox = fit_letterbox(pixels.shape[0], pixels.shape[1], canvas)
    # Pillow's arrays are read-only, and torch warns of those.
    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
    return apply_letterbox(image, letterbox, canvas), letterbox
