"""Out of Pillow: every pixel, whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveal.data import rgb


@pytest.mark.parametrize("strip", [1, 7, 40, 65536])
@pytest.mark.parametrize("size", [(1, 1), (5, 8), (8, 5), (1, 41), (41, 1), (13, 17)])
def test_strips_are_the_whole_picture(
    size: tuple[int, int], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rgb, "STRIP_PIXELS", strip)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    array = rgb.to_array(Image.fromarray(pixels))
    np.testing.assert_array_equal(array, pixels)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    assert array.flags.c_contiguous


def test_an_empty_picture_is_an_empty_array() -> None:
    assert rgb.to_array(Image.new("RGB", (0, 3))).shape == (3, 0, 3)
