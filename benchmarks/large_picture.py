"""Memory of a very large picture, in tiles, drawn and written: python benchmarks/large_picture.py MODEL PICTURES

Joins the pictures of a folder to one of --side x --side pixels and predicts it with --tile; a small picture, too.
Each in a process of its own, as the command is one. Prints the peak of their memory, and by how much the large
one's is over its decoded picture.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

MB = 1 << 20


def join(folder: str, side: int, path: Path) -> None:
    """A JPEG of real pictures, side by side. Run in a process of its own: it needs memory itself."""
    from PIL import Image

    from foveal.runtime.sources import find_pictures

    sheet = Image.new("RGB", (side, side))
    names = cycle(find_pictures([folder]))
    top = 0
    while top < side:
        left = height = 0
        while left < side:
            with Image.open(next(names)) as picture:
                sheet.paste(picture, (left, top))
                left, height = left + picture.width, max(height, picture.height)
        top += height
    sheet.save(path, quality=90)


class Peak(NamedTuple):
    """What one prediction took."""

    bytes: int
    """The most memory that the process had."""
    seconds: float
    detections: int


def predict_alone(model: Path, picture: Path, output: Path, tile: int | None) -> Peak:
    """Predict one picture in a new process."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_predict, (model, picture, output, tile))


def _predict(model: Path, picture: Path, output: Path, tile: int | None) -> Peak:
    from foveal.verbs.predict import predict

    began = time.monotonic()
    result = predict(model, [picture], output, device="cpu", quiet=True, tiles=tile)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Peak(peak, time.monotonic() - began, result.detections)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder")
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--tile", type=int, default=1250)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        picture, little = Path(place) / "large.jpg", Path(place) / "small.jpg"
        with get_context("spawn").Pool(1) as pool:
            pool.apply(join, (choice.folder, choice.side, picture))
            pool.apply(join, (choice.folder, 640, little))
        small = predict_alone(choice.model, little, Path(place) / "out_small", None)
        large = predict_alone(choice.model, picture, Path(place) / "out_large", choice.tile)
    decoded = choice.side**2 * 3
    print(f"{choice.side} x {choice.side} pixels, tiles of {choice.tile}: {large.detections} detections")
    print(f"peak {large.bytes / MB:.0f} MiB; with a picture of 640 x 640 {small.bytes / MB:.0f} MiB")
    print(
        f"decoded {decoded / MB:.0f} MiB, and {(large.bytes - decoded) / MB:.0f} MiB; {large.seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
