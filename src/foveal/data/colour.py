"""Colour variation of a picture: one 3 x 3 matrix and a shift, drawn at random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from foveal.types import Array

LUMA = (0.299, 0.587, 0.114)
TO_YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
PIXELS_PER_ROW = 16
"""A matrix product with 3 columns leaves the processor idle; these make one row of 48 numbers."""
PIXELS_AT_ONCE = 65536
"""Pixels that are floats at one time, so that they stay in the cache; a multiple of the row."""


def colour(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue varied in one pass, [3, H, W] uint8, channels last.

    All four are linear in RGB (hue turns the chroma plane of YIQ), so they make one 3 x 3 matrix and a shift.
    strength: 1 varies brightness, contrast and saturation by up to 1.6 times, and hue by up to 36 degrees.
    """
    brightness, contrast, saturation = 1.6 ** (strength * rng.uniform(-1, 1, 3))
    hue = np.radians(36) * strength * rng.uniform(-1, 1)
    cos, sin = saturation * np.cos(hue), saturation * np.sin(hue)
    chroma = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = brightness * contrast * np.linalg.inv(TO_YIQ) @ chroma @ np.array(TO_YIQ)
    picture = image.permute(1, 2, 0).contiguous()
    shift = brightness * (1 - contrast) * mean_luma(picture)
    return _through(picture.view(-1, 3), matrix, shift).view(picture.shape).permute(2, 0, 1)


def mean_luma(picture: Tensor) -> float:
    """Mean brightness of [H, W, 3] uint8.

    Summed in whole numbers: a sum of floats would depend on how the picture lies in memory.
    """
    totals = picture.sum(0, dtype=torch.int32).sum(0).tolist()
    return float(np.dot(totals, LUMA)) / (picture.shape[0] * picture.shape[1])


def _through(pixels: Tensor, matrix: Array, shift: float) -> Tensor:
    """``pixels @ matrix.T + shift`` of [N, 3] uint8, rounded and cut to 0..255."""
    one = torch.from_numpy(matrix.T).float()
    row = torch.from_numpy(np.kron(np.eye(PIXELS_PER_ROW), matrix.T)).float()
    varied = torch.empty_like(pixels)
    whole = len(pixels) - len(pixels) % PIXELS_PER_ROW
    for start in range(0, whole, PIXELS_AT_ONCE):
        part = slice(start, min(start + PIXELS_AT_ONCE, whole))
        _fill(varied[part].view(-1, len(row)), pixels[part].view(-1, len(row)), row, shift)
    _fill(varied[whole:], pixels[whole:], one, shift)
    return varied


def _fill(out: Tensor, pixels: Tensor, matrix: Tensor, shift: float) -> None:
    offset = torch.full((len(matrix),), shift + 0.5)
    out.copy_(torch.addmm(offset, pixels.float(), matrix).clamp_(0, 255))
