"""Which tiles are taken, and that a picture seen in tiles is found as if it were seen whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from foveal.checkpoint.format import load_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.errors import UsageError
from foveal.ops.letterbox import size_policy
from foveal.ops.tiles import Tiling
from foveal.runtime.calibration import calibration_images
from foveal.runtime.pictures import load_picture, place_picture
from foveal.runtime.predictor import TILES_AT_ONCE, Predictor
from foveal.runtime.tiling import TileSize, choose_tiling, stored_tiling, tiling_policy
from foveal.types import BatchDetections, ClassNames

STORED = Tiling(512, 640, 0.3)


def header(tiling: Tiling | None) -> CheckpointHeader:
    return CheckpointHeader({}, ClassNames(("a",), (1,)), size_policy(64, 64) | tiling_policy(tiling))


@pytest.mark.parametrize(
    ("stored", "tiles", "overlap", "chosen"),
    [
        (None, None, None, None),
        (None, 256, None, Tiling(256, 256, 0.2)),
        (None, "384x512", 0.5, Tiling(384, 512, 0.5)),
        (None, "none", None, None),
        (STORED, None, None, STORED),
        (STORED, None, 0.0, Tiling(512, 640, 0.0)),
        (STORED, (32, 64), None, Tiling(32, 64, 0.3)),
        (STORED, "100", 0.9, Tiling(100, 100, 0.9)),
        (STORED, "NONE", None, None),
    ],
)
def test_what_is_not_asked_for_comes_from_the_checkpoint(
    stored: Tiling | None, tiles: TileSize | None, overlap: float | None, chosen: Tiling | None
) -> None:
    assert stored_tiling(header(stored)) == stored
    assert choose_tiling(header(stored), tiles, overlap) == chosen


@pytest.mark.parametrize(
    ("tiles", "overlap", "said"),
    [
        (31, None, "a tile of 31 x 31 pixels is not allowed; sides are 32..16384 pixels"),
        ("512x20000", None, "a tile of 512 x 20000 pixels is not allowed; sides are 32..16384 pixels"),
        ("big", None, "tile 'big' is no size; give a side (512), HEIGHTxWIDTH (384x512), or none"),
        ("5.5", None, "tile '5.5' is no size"),
        (512, 1.0, "overlap 1 of tiles is not allowed; give a share in 0..0.9"),
        (512, -0.1, "overlap -0.1 of tiles is not allowed"),
        (512, float("nan"), "overlap nan of tiles is not allowed"),
        ("none", 0.2, "overlap 0.2 has no tiles to act on: pictures are seen whole; give a tile size"),
        (None, 0.2, "overlap 0.2 has no tiles to act on"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    tiles: TileSize | None, overlap: float | None, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_tiling(header(None), tiles, overlap)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------ detection


@pytest.fixture(scope="module")
def picture(trained: Any) -> np.ndarray:
    """Four of the pictures side by side and below one another, 256 x 256."""
    files = sorted((trained.data / "images").iterdir())[:4]
    parts = [load_picture(file) for file in files]
    return np.concatenate([np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)])


def test_one_tile_is_the_whole_picture_to_the_last_bit(trained: Any, picture: np.ndarray) -> None:
    whole = Predictor(trained.best, "cpu", score_thresh=0.0)(picture)
    tiled = Predictor(trained.best, "cpu", score_thresh=0.0, tiles=256)(picture)
    assert torch.equal(whole.boxes, tiled.boxes)
    assert torch.equal(whole.scores, tiled.scores)
    assert whole.names == tiled.names


def test_tiles_that_are_the_parts_are_found_as_the_parts(trained: Any, picture: np.ndarray) -> None:
    """What touches no border is found as in the part alone, at its place."""
    predictor = Predictor(trained.best, "cpu")
    tiled = Predictor(trained.best, "cpu", tiles=128, overlap=0.0)
    found = tiled(picture)
    assert (found.height, found.width) == (256, 256)
    inner = 0
    for top in (0, 128):
        for left in (0, 128):
            for alone in predictor(picture[top : top + 128, left : left + 128]):
                box = torch.tensor(alone.box)
                if float(box.min()) > 12 and float(box.max()) < 116:
                    there = box + torch.tensor([left, top, left, top])
                    assert float((found.boxes - there).abs().amax(dim=1).min()) < 1e-3
                    inner += 1
    assert inner >= 4
    assert (found.scores.diff() <= 0).all()


def test_a_large_picture_goes_through_the_network_a_few_tiles_at_a_time(trained: Any) -> None:
    predictor = Predictor(trained.best, "cpu", tiles=128, overlap=0.5)
    seen: list[int] = []
    inner = predictor.model

    def counting(images: torch.Tensor) -> BatchDetections:
        seen.append(len(images))
        result = inner(images)
        assert isinstance(result, BatchDetections)
        return result

    predictor.model = counting  # type: ignore[assignment]
    predictor(np.zeros((400, 700, 3), dtype=np.uint8))
    assert max(seen) == TILES_AT_ONCE
    assert sum(seen) == len(Tiling(128, 128, 0.5).windows(400, 700))


def test_a_stream_gives_each_picture_its_own_tiles(
    trained: Any, picture: np.ndarray, same_detections: Callable[..., None]
) -> None:
    predictor = Predictor(trained.best, "cpu", tiles=128, overlap=0.25)
    pictures = [picture, picture[:128, :128], picture[:, :200]]
    for one, other in zip(predictor.stream(pictures, batch_size=3), map(predictor, pictures), strict=True):
        same_detections(one, other, 1e-2, 1e-4)
        assert sorted(one.names) == sorted(other.names)


def test_int8_is_calibrated_on_tiles(trained: Any, picture: np.ndarray) -> None:
    canvas = (96, 128)
    loaded = replace(load_checkpoint(trained.best).header)
    images = list(calibration_images(loaded, canvas, [picture, picture], Tiling(128, 128, 0.0)))
    assert torch.equal(images[0][0], place_picture(picture[:128, :128], canvas)[0])
    assert torch.equal(images[1][0], place_picture(picture[:128, 128:], canvas)[0])
