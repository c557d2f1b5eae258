"""A person's picture in any form -> pixels, and pixels -> the network's canvas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveal.data.decode import MAX_PIXELS, PictureSize, read_image, read_picture, upright_rgb
from foveal.errors import DataError, UsageError
from foveal.ops.letterbox import apply_letterbox, fit_letterbox
from foveal.runtime.remote import is_remote, read_remote
from foveal.types import Array, Letterbox

Picture = str | Path | Array | Image.Image
"""A file, an address that fsspec knows (``https://...``, ``s3://...``), an array [H, W, 3] uint8 RGB, or a PIL
picture."""


def load_picture(
    picture: Picture,
    max_pixels: int = MAX_PIXELS,
    before_decoding: Callable[[PictureSize], object] | None = None,
) -> Array:
    """[H, W, 3] uint8 RGB of a picture. max_pixels, before_decoding: of files, as for ``read_picture``."""
    if isinstance(picture, str | Path):
        return read_picture(picture, max_pixels, _content(picture), before_decoding)
    if isinstance(picture, Image.Image):
        try:
            return upright_rgb(picture)
        except ValueError as error:
            raise UsageError(f"the picture cannot be used: {error}") from error
        except OSError as error:
            raise DataError(f"the picture cannot be decoded: {error}") from error
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UsageError(f"a picture is [H, W, 3] uint8 RGB, not {list(array.shape)} {array.dtype}")
    return array


def load_image(
    picture: str | Path, max_pixels: int, before_decoding: Callable[[PictureSize], object] | None = None
) -> Image.Image:
    """``load_picture`` of a file or an address, as Pillow holds it."""
    return read_image(picture, max_pixels, _content(picture), before_decoding)


def _content(picture: str | Path) -> bytes | None:
    """What lies at an address; nothing for a file, which is read as it is decoded."""
    return read_remote(picture) if isinstance(picture, str) and is_remote(picture) else None


def place_picture(pixels: Array, canvas: tuple[int, int]) -> tuple[Tensor, Letterbox]:
    """Canvas [3, H, W] uint8 with a picture on it, and how to take boxes back."""
    letterbox = fit_letterbox(pixels.shape[0], pixels.shape[1], canvas)
    # Pillow's arrays are read-only, and torch warns of those.
    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
    return apply_letterbox(image, letterbox, canvas), letterbox
