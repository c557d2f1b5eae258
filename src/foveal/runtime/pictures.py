"""A person's picture in any form -> pixels, and pixels -> the network's canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveal.data.decode import read_picture, upright_rgb
from foveal.errors import DataError, UsageError
from foveal.ops.letterbox import apply_letterbox, fit_letterbox
from foveal.types import Array, Letterbox

Picture = str | Path | Array | Image.Image
"""A file, an array [H, W, 3] uint8 RGB, or a PIL picture."""


def load_picture(picture: Picture) -> Array:
    """[H, W, 3] uint8 RGB of a file, an array or a PIL picture."""
    if isinstance(picture, str | Path):
        return read_picture(Path(picture))
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


def place_picture(pixels: Array, canvas: tuple[int, int]) -> tuple[Tensor, Letterbox]:
    """Canvas [3, H, W] uint8 with a picture on it, and how to take boxes back."""
    letterbox = fit_letterbox(pixels.shape[0], pixels.shape[1], canvas)
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    return apply_letterbox(image, letterbox, canvas), letterbox
