"""Pictures of a run made part of the page: scaled down, written anew as JPEG, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from foveal.diagnosis.report.blocks import Picture
from foveal.errors import DataError

BUDGET = 6_000_000
"""Bytes of JPEG in a page; as text they take a third more."""
MOST_WIDTH, MOST_HEIGHT = 1500, 2400
"""Pixels that a picture is scaled down to; a sheet of five crops stays readable."""
QUALITIES = (80, 65, 50)


class Embedder:
    """Hands out pictures as long as the budget lasts."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget
        self.refused = 0
        """Pictures that did not fit any more."""

    def picture(self, file: Path, words: str) -> Picture | None:
        """One picture; None where it cannot be read or the budget is spent."""
        try:
            with Image.open(file, formats=("JPEG", "PNG")) as opened:
                if opened.width * opened.height > 50_000_000:
                    raise DataError(f"{file}: too large for a page")
                image = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, DataError, Image.DecompressionBombError):
            return None
        image.thumbnail((MOST_WIDTH, MOST_HEIGHT), Image.Resampling.LANCZOS)
        for quality in QUALITIES:
            content = _jpeg(image, quality)
            if len(content) <= self.left:
                self.left -= len(content)
                source = "data:image/jpeg;base64," + base64.b64encode(content).decode()
                return Picture(source, image.width, image.height, words)
        self.refused += 1
        return None


def picture_files(folder: Path) -> Iterable[Path]:
    """Pictures of a folder and of those in it, by name."""
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in (".jpg", ".jpeg", ".png") and file.is_file()
    )


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
