"""Laying pictures out on a page: captions, pairs, a grid, a header and a key of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from PIL import Image, ImageDraw

from foveal.runtime.fonts import drawable, font_for
from foveal.runtime.palette import RGB

PAPER: RGB = (250, 250, 248)
INK: RGB = (32, 33, 36)
FAINT: RGB = (110, 113, 118)
MARGIN = 24
GAP = 24
_HEADER_SIZE, _TITLE_SIZE, _CAPTION_SIZE = 26, 16, 14


def beside(tiles: Sequence[Image.Image], captions: Sequence[str], gap: int) -> Image.Image:
    """Tiles in a row, each with a faint caption under it."""
    strip = _CAPTION_SIZE + 10
    width = sum(tile.width for tile in tiles) + gap * (len(tiles) - 1)
    page = Image.new("RGB", (width, max(tile.height for tile in tiles) + strip), PAPER)
    left = 0
    for tile, caption in zip(tiles, captions, strict=True):
        page.paste(tile, (left, 0))
        write(page, (left, tile.height + 5), caption, _CAPTION_SIZE, FAINT, tile.width)
        left += tile.width + gap
    return page


def titled(tile: Image.Image, title: str) -> Image.Image:
    """A tile with its title above it; the tile itself where the title is empty."""
    if not title.strip():
        return tile
    strip = _TITLE_SIZE + 10
    page = Image.new("RGB", (tile.width, tile.height + strip), PAPER)
    page.paste(tile, (0, strip))
    write(page, (0, 2), title, _TITLE_SIZE, INK, tile.width)
    return page


def grid(
    tiles: Sequence[Image.Image], columns: int, header: str = "", key: Mapping[str, RGB] | None = None
) -> Image.Image:
    """Tiles in lines of ``columns`` under a header and a key of colours. ValueError without a tile."""
    if not tiles:
        raise ValueError("there is no picture to lay out")
    columns = max(1, min(columns, len(tiles)))
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    # The tiles of a column share their left edge, those of a line their upper edge.
    widths = [max(tile.width for tile in column if tile) for column in zip_longest(*lines)]
    heights = [max(tile.height for tile in line) for line in lines]
    inner = sum(widths) + GAP * (columns - 1)
    top = _head(None, inner, header, key or {})
    page = Image.new("RGB", (inner + 2 * MARGIN, top + sum(heights) + GAP * (len(lines) - 1) + MARGIN), PAPER)
    _head(page, inner, header, key or {})
    for line, height in zip(lines, heights, strict=True):
        left = MARGIN
        for tile, width in zip(line, widths, strict=False):
            page.paste(tile, (left, top))
            left += width + GAP
        top += height + GAP
    return page


def write(page: Image.Image, place: tuple[int, int], text: str, size: int, colour: RGB, width: int) -> None:
    """One line of text from its left upper corner, cut with an ellipsis where it is wider than ``width``."""
    font = font_for(text, size)
    line = drawable(text, font)
    if font.getlength(line) > width:
        while line and font.getlength(line + "…") > width:
            line = line[:-1]
        line = line.rstrip() + "…"
    ImageDraw.Draw(page).text(place, line, font=font, fill=colour)


def _head(page: Image.Image | None, inner: int, header: str, key: Mapping[str, RGB]) -> int:
    """Write header and key (on no page: only measure); the place below them, in pixels."""
    top = MARGIN
    if header.strip():
        if page is not None:
            write(page, (MARGIN, top), header, _HEADER_SIZE, INK, inner)
        top += _HEADER_SIZE + 14
    if not key:
        return top
    left = MARGIN
    for name, colour in key.items():
        font = font_for(name, _TITLE_SIZE)
        width = min(inner, 20 + round(font.getlength(drawable(name, font))))
        if left > MARGIN and left + width > MARGIN + inner:
            left, top = MARGIN, top + _TITLE_SIZE + 10
        if page is not None:
            swatch = (left, top + 3, left + 13, top + 16)
            ImageDraw.Draw(page).rounded_rectangle(swatch, 3, fill=colour)
            write(page, (left + 20, top), name, _TITLE_SIZE, INK, inner - 20)
        left += width + 20
    return top + _TITLE_SIZE + 18
