"""Colour variation: the matrix of its docstring, whatever the size and the layout of the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.data.colour import LUMA, TO_YIQ, colour, mean_luma


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """[3, H, W] uint8, channels last in memory."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def textbook(image: Tensor, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The same in double precision, pixel by pixel and not yet rounded: [H, W, 3]."""
    brightness, contrast, saturation = 1.6 ** (strength * rng.uniform(-1, 1, 3))
    hue = np.radians(36) * strength * rng.uniform(-1, 1)
    pixels = image.permute(1, 2, 0).numpy().astype(np.float64)
    yiq = pixels @ np.array(TO_YIQ).T
    turned = (yiq[..., 1] + 1j * yiq[..., 2]) * saturation * np.exp(1j * hue)
    rgb = np.stack([yiq[..., 0], turned.real, turned.imag], -1) @ np.linalg.inv(TO_YIQ).T
    mean = (pixels.mean((0, 1)) * LUMA).sum()
    return np.asarray(brightness * ((rgb - mean) * contrast + mean)).clip(0, 255)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (7, 33), (64, 48), (300, 301)])
@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_equals_the_textbook_form(size: tuple[int, int], strength: float) -> None:
    for seed in range(5):
        image = noise(*size, seed)
        varied = colour(image, strength, np.random.default_rng(seed)).permute(1, 2, 0).numpy()
        expected = textbook(image, strength, np.random.default_rng(seed))
        # Half a level is rounding; the rest is what float32 adds to numbers of up to 1,000.
        assert np.abs(varied - expected).max() <= 0.501


def test_layout_and_threads_do_not_matter() -> None:
    threads = torch.get_num_threads()
    for seed in range(8):
        image = noise(173, 211, seed)
        first = colour(image, 0.7, np.random.default_rng(seed))
        assert first.permute(1, 2, 0).is_contiguous()
        torch.set_num_threads(1)
        second = colour(image.contiguous(), 0.7, np.random.default_rng(seed))
        torch.set_num_threads(threads)
        assert torch.equal(first, second)


def test_no_strength_is_the_identity() -> None:
    image = noise(40, 50)
    assert torch.equal(colour(image, 0.0, np.random.default_rng(0)), image)


def test_changes_pixels_and_keeps_what_was_given() -> None:
    image = noise(40, 50)
    before = image.clone()
    assert (colour(image, 0.8, np.random.default_rng(0)).int() - image.int()).abs().float().mean() > 5
    assert torch.equal(image, before)


def test_mean_luma_is_exact() -> None:
    picture = torch.full((4000, 500, 3), 255, dtype=torch.uint8)
    assert mean_luma(picture) == pytest.approx(255, rel=1e-15)
    picture[0, 0] = 0
    assert mean_luma(picture) == pytest.approx(255 * (1 - 1 / 2_000_000), rel=1e-14)
