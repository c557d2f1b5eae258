"""Pictures that show int8 the range of a network's values: real ones, put on the canvas as always."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from foveal.build import build_records
from foveal.checkpoint.header import CheckpointHeader
from foveal.config.schema import Data
from foveal.data.records import Records
from foveal.errors import DataError, UsageError
from foveal.ops.tiles import Tiling
from foveal.runtime.pictures import Picture, load_picture, place_picture

CALIBRATION_PICTURES = 128
"""Pictures looked at; those of a larger set are taken at even distances."""
HINT = "give some with --calibration FOLDER (in Python: calibration=[...])"


def calibration_images(
    header: CheckpointHeader,
    canvas: tuple[int, int],
    pictures: Sequence[Picture] | Records | None = None,
    tiling: Tiling | None = None,
) -> Iterator[Tensor]:
    """At most 128 pictures [1, 3, H, W] uint8 on the canvas; those that cannot be read are left out.

    pictures: None takes those that the checkpoint was trained on. tiling: of each picture, one tile. UsageError
    where they are not there, or where none can be read.
    """
    if pictures is None:
        pictures = _training_set(header)
    try:
        yield from some_images(pictures, canvas, tiling, CALIBRATION_PICTURES)
    except DataError as error:
        raise UsageError(f"int8 has no pictures to calibrate on ({error}): {HINT}") from error


def some_images(
    pictures: Sequence[Picture] | Records, canvas: tuple[int, int], tiling: Tiling | None, most: int
) -> Iterator[Tensor]:
    """``most`` of some pictures [1, 3, H, W] uint8 on the canvas, at even distances, without the unreadable.

    tiling: of each picture, one tile. DataError, with the reason, where none can be read.
    """
    count = len(pictures)
    reason, found = "there are none", 0
    for i in np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist():
        try:
            pixels = pictures.load(i) if isinstance(pictures, Records) else load_picture(pictures[i])
        except (DataError, OSError) as error:
            reason = str(error)
            continue
        if tiling is not None:
            windows = tiling.windows(*pixels.shape[:2])
            x1, y1, x2, y2 = windows[found % len(windows)].tolist()  # from another place of each picture
            pixels = pixels[y1:y2, x1:x2]
        found += 1
        yield place_picture(pixels, canvas)[0][None]
    if not found:
        raise DataError(reason)


def _training_set(header: CheckpointHeader) -> Records:
    try:
        return build_records(Data.model_validate(header.config["data"]).train)
    except (KeyError, ValidationError, DataError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, DataError) else "the checkpoint names none"
        raise UsageError(f"int8 needs the pictures of the training set ({reason}): {HINT}") from error
