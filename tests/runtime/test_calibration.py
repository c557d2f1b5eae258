"""Pictures for int8: real ones, on the canvas, those of the training set unless others are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal.checkpoint.format import load_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.data.coco import read_coco
from foveal.errors import UsageError
from foveal.runtime.calibration import CALIBRATION_PICTURES, calibration_images
from foveal.runtime.pictures import place_picture

CANVAS = (96, 128)


@pytest.fixture(scope="module")
def header(trained: Any) -> CheckpointHeader:
    return load_checkpoint(trained.best).header


def test_the_training_set_is_the_default(trained: Any, header: CheckpointHeader) -> None:
    records = read_coco(trained.data / "annotations.json", trained.data / "images")
    found = list(calibration_images(header, CANVAS))
    assert len(found) == len(records)
    for i, image in enumerate(found):
        assert torch.equal(image[0], place_picture(records.load(i), CANVAS)[0])
        assert image.dtype == torch.uint8


def test_many_pictures_are_thinned_out_evenly(header: CheckpointHeader) -> None:
    count = 2 * CALIBRATION_PICTURES - 1
    pictures = [np.full((4, 4, 3), i % 256, dtype=np.uint8) for i in range(count)]
    seen = [int(image[0, 0, 0, 0]) for image in calibration_images(header, CANVAS, pictures)]
    assert seen == [i % 256 for i in range(0, count, 2)]


def test_what_cannot_be_read_is_left_out(header: CheckpointHeader, trained: Any, tmp_path: Path) -> None:
    good = next((trained.data / "images").iterdir())
    broken = tmp_path / "a.png"
    broken.write_bytes(b"no picture")
    assert len(list(calibration_images(header, CANVAS, [broken, good]))) == 1
    with pytest.raises(UsageError, match=r"no pictures to calibrate on .*a\.png.*--calibration"):
        list(calibration_images(header, CANVAS, [broken]))
    with pytest.raises(UsageError, match="no pictures to calibrate on"):
        list(calibration_images(header, CANVAS, []))


def test_a_training_set_that_has_gone(header: CheckpointHeader, tmp_path: Path) -> None:
    source = {"format": "coco", "annotations": str(tmp_path / "gone.json"), "images": str(tmp_path)}
    elsewhere = {**header.config, "data": {**header.config["data"], "train": source}}
    with pytest.raises(UsageError, match=r"gone\.json.*--calibration"):
        list(calibration_images(replace(header, config=elsewhere), CANVAS))
    nameless = {key: value for key, value in header.config.items() if key != "data"}
    with pytest.raises(UsageError, match="the checkpoint names none"):
        list(calibration_images(replace(header, config=nameless), CANVAS))
