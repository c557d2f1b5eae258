"""Small pictures of what was found, as data addresses for a page that loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from PIL import Image, ImageDraw

from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.errors import DataError

SIDE = 240
PER_RULE, MOST = 3, 36
QUALITY = 80
COLOUR = (255, 64, 32)
OTHERS = (70, 140, 255)
MOST_BOXES = 200


class Drawn(NamedTuple):
    """A picture with the box of a finding in red and the picture's others in blue."""

    name: str
    """The part and the path."""
    address: str
    """``data:image/jpeg;base64,...``"""


class Shown(NamedTuple):
    """What is to be seen of one finding."""

    rule: str
    where: str
    message: str
    pictures: list[Drawn]
    """One, or the two that a finding is about."""


def thumbnails(hits: Sequence[Hit], parts: Sequence[Part]) -> list[Shown]:
    """The first few of every rule, up to MOST in all; those that cannot be drawn are left out."""
    by_name = {part.name: part for part in parts}

    def drawn(spot: Spot | None) -> Iterator[Drawn]:
        if spot is not None and spot.part in by_name:
            part = by_name[spot.part]
            with suppress(DataError, OSError, ValueError):
                yield Drawn(f"{spot.part}: {part.picture(spot.picture)}", as_address(_draw(part, spot)))

    counts: dict[str, int] = {}
    shown: list[Shown] = []
    for hit in hits:
        rule = hit.finding.rule
        if counts.get(rule, 0) >= PER_RULE:
            continue
        pictures = [*drawn(hit.spot), *drawn(hit.beside)]
        if pictures:
            counts[rule] = counts.get(rule, 0) + 1
            shown.append(Shown(rule, hit.finding.where, hit.finding.message, pictures))
        if len(shown) == MOST:
            break
    return shown


def as_address(image: Image.Image) -> str:
    """A picture as the address of itself."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _draw(part: Part, spot: Spot) -> Image.Image:
    image = Image.fromarray(part.records.load(spot.picture))
    zoom = SIDE / max(image.size)
    image = image.resize((max(1, round(image.width * zoom)), max(1, round(image.height * zoom))))
    pen = ImageDraw.Draw(image)
    for box in part.records.rows(spot.picture).boxes[:MOST_BOXES].tolist():
        _rectangle(pen, box, zoom, OTHERS, 1)
    if spot.box is not None:
        _rectangle(pen, list(spot.box), zoom, COLOUR, 2)
    return image


def _rectangle(
    pen: ImageDraw.ImageDraw, box: list[float], zoom: float, colour: tuple[int, int, int], width: int
) -> None:
    """A box, also one that is turned inside out or far outside."""
    x1, y1, x2, y2 = (min(max(value * zoom, -9.0), SIDE + 9.0) if value == value else 0.0 for value in box)
    low, high = (min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2))
    pen.rectangle((*low, *high), outline=colour, width=width)
