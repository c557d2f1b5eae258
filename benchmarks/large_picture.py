"""Memory of a very large picture, in tiles, drawn and written: python benchmarks/large_picture.py MODEL PICTURES

Joins the pictures of a folder to one of --side x --side pixels, predicts it with --tile, and prints the peak of
this process's memory over that of the decoded picture.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

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


def peak() -> int:
    """Bytes, the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
        picture = Path(place) / "large.jpg"
        maker = get_context("spawn").Process(target=join, args=(choice.folder, choice.side, picture))
        maker.start()
        maker.join()
        from foveal.runtime.sources import find_pictures
        from foveal.verbs.predict import predict

        small = find_pictures([choice.folder])[0]
        predict(choice.model, [small], Path(place) / "small", device="cpu", quiet=True)
        before, began = peak(), time.monotonic()
        result = predict(
            choice.model, [picture], Path(place) / "large", device="cpu", quiet=True, tiles=choice.tile
        )
        seconds = time.monotonic() - began
    decoded = choice.side**2 * 3
    print(f"{choice.side} x {choice.side} pixels, tiles of {choice.tile}, {seconds:.0f} s")
    print(
        f"{result.detections} detections; peak {peak() / MB:.0f} MB, {before / MB:.0f} MB with a small picture"
    )
    print(f"decoded {decoded / MB:.0f} MB, and {(peak() - decoded) / MB:.0f} MB")


if __name__ == "__main__":
    main()
