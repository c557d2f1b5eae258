"""Pictures looked at one by one: header, bytes, pixels. The slow part of a diagnosis, so it runs on threads.

Pillow decodes without holding Python's lock; of a JPEG only an eighth of the resolution is computed, while all of
its data is still read, so that a file cut short is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from foveal.data.decode import MAX_PIXELS, open_picture, upright_rgb
from foveal.diagnosis.doctor.part import Part
from foveal.errors import DataError
from foveal.types import Array

How = Literal["all", "headers", "sample"]
SAMPLE = 200
"""Pictures of a part that are decoded in a sample, evenly spread."""
SIDE = 32
"""Of the grey thumbnail by which pictures are compared."""
DECODED_SIDE = 4 * SIDE
CHUNK = 64


class Look(NamedTuple):
    """What one picture turned out to be."""

    format: str
    """As the content says, e.g. JPEG; empty where it cannot be opened."""
    mode: str
    """Pillow's name for the kind of pixels, e.g. RGB, L, CMYK, I;16."""
    orientation: int
    """EXIF, 1..8; 1 is upright."""
    bytes: int
    fault: str
    """Why it cannot be decoded; empty: it can, or nobody tried."""
    decoded: bool
    thumbnail: Array | None
    """[SIDE, SIDE] uint8 grey levels, upright; None where it was not decoded."""


Tick = Callable[[], object]


def look_at(part: Part, how: How, workers: int, tick: Tick) -> list[Look] | None:
    """Every picture of a part; None where they are no files (generated ones). tick: called after each."""
    if getattr(part.source, "format", None) == "shapes":
        return None
    total = len(part.records)
    wanted = np.zeros(total, dtype=bool)
    if how == "all" or (how == "sample" and total <= SAMPLE):
        wanted[:] = True
    elif how == "sample":
        wanted[np.linspace(0, total - 1, SAMPLE).astype(int)] = True
    jobs = [(part.records.path(picture), bool(wanted[picture])) for picture in range(total)]

    def chunk(some: Iterable[tuple[Path, bool]]) -> list[Look]:
        looks = []
        for path, decode in some:
            looks.append(look(path, decode))
            tick()
        return looks

    chunks = [jobs[start : start + CHUNK] for start in range(0, total, CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        return [found for looks in pool.map(chunk, chunks) for found in looks]


def look(path: Path, decode: bool) -> Look:
    """One picture; never an error."""
    size = 0
    try:
        size = path.stat().st_size
        with open_picture(path, MAX_PIXELS) as (image, header):
            opened = Look(image.format or "", _mode(image), header.orientation, size, "", False, None)
            if not decode:
                return opened
            if image.format == "JPEG":
                image.draft(None, (DECODED_SIDE, DECODED_SIDE))
            return opened._replace(decoded=True, thumbnail=_thumbnail(image))
    except (DataError, OSError) as error:
        return Look("", "", 1, size, " ".join(str(error).split()), decode, None)


def _mode(image: Image.Image) -> str:
    return f"{image.mode} animated" if getattr(image, "is_animated", False) else image.mode


def _thumbnail(image: Image.Image) -> Array:
    """[SIDE, SIDE] uint8. Areas are averaged, so that noise and compression hardly count."""
    rgb = Image.fromarray(upright_rgb(image))
    grey = rgb.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(grey)


def digest(path: Path) -> bytes:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
