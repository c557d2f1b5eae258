"""Pictures of detections: boxes with name tags, ground truth beside predictions, a batch as a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from foveal.runtime.fonts import Font, drawable, font_for
from foveal.runtime.palette import RGB, name_colours, text_colour
from foveal.runtime.sheet import beside, grid, titled
from foveal.runtime.tags import place_tags
from foveal.types import Array, Batch

Picture = Array | Image.Image
"""[H, W, 3] uint8 RGB (or [H, W] grey), or a Pillow picture."""
_HALO = (0, 0, 0, 80)
_SMOOTH = 4
"""Tags are drawn this many times larger and shrunk, so that their corners are smooth."""


class Boxes(NamedTuple):
    """What is drawn on one picture, in its pixels."""

    boxes: Any
    """[D, 4] xyxy: array, tensor or list."""
    names: Sequence[str]
    scores: Sequence[float] | Any | None = None
    crowd: Sequence[bool] | Any | None = None
    """Where true, the box is a region of many objects: drawn thin and dashed."""


class _Style(NamedTuple):
    line: int
    font_size: int


def draw_boxes(
    picture: Picture,
    boxes: Any,
    names: Sequence[str],
    scores: Any = None,
    colours: Mapping[str, RGB] | Sequence[RGB] | None = None,
    crowd: Any = None,
) -> Image.Image:
    """A copy of the picture with its boxes, each with a tag of its name and score.

    boxes: [D, 4] xyxy in the picture's pixels; names: D strings; scores, crowd: D values or None.
    colours: by name, or one per box; by default the palette's, in the order in which names occur.
    A box without a name and a score has no tag. Lines and letters grow with the picture and shrink where boxes
    are many. ValueError where lengths differ.
    """
    canvas = as_picture(picture)
    draw_on(canvas, boxes, names, scores, colours, crowd)
    return canvas


def draw_on(
    canvas: Image.Image,
    boxes: Any,
    names: Sequence[str],
    scores: Any = None,
    colours: Mapping[str, RGB] | Sequence[RGB] | None = None,
    crowd: Any = None,
) -> None:
    """``draw_boxes`` on an RGB picture itself, which needs no memory for another."""
    rows = _as_rows(boxes)
    labels = _tag_texts(names, scores)
    shades = _box_colours(names, colours)
    dashed = np.zeros(len(rows), dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool).reshape(-1)
    if not len(rows) == len(labels) == len(shades) == len(dashed):
        raise ValueError(
            f"{len(rows)} boxes, {len(labels)} names, {len(shades)} colours, {len(dashed)} crowd"
        )
    rows = np.clip(rows, 0, [canvas.width, canvas.height] * 2)
    style = _style(canvas.height, canvas.width, len(rows))
    # Large boxes first, so that small ones inside them stay whole.
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    painter = ImageDraw.Draw(canvas, "RGBA")
    for index in np.argsort(-area, kind="stable"):
        _draw_outline(painter, rows[index], shades[index], style.line, bool(dashed[index]))
    _draw_tags(canvas, rows, labels, shades, style)


def contact_sheet(
    rows: Sequence[tuple[Picture, Boxes, Boxes, str]],
    columns: int = 2,
    header: str = "",
    names: Sequence[str] | None = None,
    cell_width: int = 420,
    captions: tuple[str, str] = ("ground truth", "predicted"),
) -> Image.Image:
    """Pairs of pictures side by side, ground truth left and predictions right, under a header and a key.

    rows: (picture, truth, predicted, title) each; columns: pairs in a line; names: all classes in model
    order, so that a class has the colour it has elsewhere; cell_width: width of one picture, in pixels.
    """
    seen = [name for _, truth, found, _ in rows for name in (*truth.names, *found.names)]
    colours = name_colours([*(names or ()), *seen])
    tiles = []
    for picture, truth, found, title in rows:
        pair = [_cell(picture, boxes, colours, cell_width) for boxes in (truth, found)]
        counts = [
            f"{caption} · {len(boxes.names)}" for caption, boxes in zip(captions, (truth, found), strict=True)
        ]
        tiles.append(titled(beside(pair, counts, gap=8), title))
    key = {name: colour for name, colour in colours.items() if name in set(seen)}
    return grid(tiles, columns, header, key)


def draw_batch(
    batch: Batch, names: Sequence[str], columns: int | None = None, cell_width: int = 420
) -> Image.Image:
    """The pictures of a batch with their boxes, as the network is given them, as a grid."""
    colours = name_colours(names)
    tiles = []
    for image, target, image_id in zip(batch.images, batch.targets, batch.image_ids, strict=True):
        texts = [names[label] for label in target.labels.tolist()]
        boxes = Boxes(target.boxes, texts, crowd=target.crowd.cpu().numpy())
        picture = image.permute(1, 2, 0).cpu().numpy()
        cell = _cell(picture, boxes, colours, cell_width)
        many = f"{len(texts)} box" + ("" if len(texts) == 1 else "es")
        tiles.append(titled(cell, f"picture {image_id} · {many}"))
    size = " x ".join(str(side) for side in batch.images.shape[-2:])
    seen = {names[label] for target in batch.targets for label in target.labels.tolist()}
    key = {name: colour for name, colour in colours.items() if name in seen}
    header = f"{len(tiles)} pictures of {size} pixels"
    return grid(tiles, columns or math.ceil(math.sqrt(len(tiles))), header, key)


def as_picture(picture: Picture) -> Image.Image:
    """A new RGB picture from an array or a Pillow picture. ValueError where an array is not uint8."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ValueError(f"a picture is [H, W, 3] uint8, not {list(array.shape)} {array.dtype}")
    image = Image.fromarray(array)
    return image if image.mode == "RGB" else image.convert("RGB")  # convert copies what is RGB already


def _style(height: int, width: int, count: int) -> _Style:
    """Line width and letter size in pixels for a picture with that many boxes."""
    side = math.sqrt(height * width)
    few = 1.0 if count <= 12 else max(0.7, (12 / count) ** 0.25)
    line = max(2 if count <= 40 else 1, round(side * few / 200))
    return _Style(line, max(9 if count > 20 else 10, round((5 + side * 0.016) * few)))


def _draw_outline(painter: ImageDraw.ImageDraw, box: Array, colour: RGB, line: int, dashed: bool) -> None:
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)
    if dashed:
        _draw_dashes(painter, (x1, y1, x2, y2), colour, max(1, line // 2))
        return
    # A dark hair line on both sides keeps the colour readable on any background.
    painter.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_HALO)
    if min(x2 - x1, y2 - y1) > 2 * line + 2:
        painter.rectangle((x1 + line, y1 + line, x2 - line, y2 - line), outline=_HALO)
    painter.rectangle(
        (x1, y1, x2, y2), outline=colour, width=min(line, max(1, (min(x2 - x1, y2 - y1) + 1) // 3))
    )


def _draw_dashes(
    painter: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], colour: RGB, line: int
) -> None:
    x1, y1, x2, y2 = corners
    dash = 5 * line + 3
    for fill, shift in ((_HALO, 1), ((*colour, 255), 0)):
        for start in range(x1, x2, 2 * dash):
            for y in (y1, y2):
                painter.line((start + shift, y + shift, min(start + dash, x2) + shift, y + shift), fill, line)
        for start in range(y1, y2, 2 * dash):
            for x in (x1, x2):
                painter.line((x + shift, start + shift, x + shift, min(start + dash, y2) + shift), fill, line)


def _draw_tags(canvas: Image.Image, rows: Array, texts: list[str], colours: list[RGB], style: _Style) -> None:
    named = [place for place, text in enumerate(texts) if text]
    sizes = [_tag_size(texts[i], style.font_size, canvas.width) for i in named]
    places = place_tags(rows[named], sizes, canvas.height, canvas.width, style.line)
    # The first boxes are the best ones: their tags lie on top. Each is made when it is its turn: those of a very
    # large picture have megabytes.
    for i, place in reversed(list(zip(named, places, strict=True))):
        if place is not None:
            tag = _tag(texts[i], colours[i], style.font_size, canvas.width)
            canvas.paste(tag, place, tag)


def _tag_size(text: str, size: int, limit: int) -> tuple[int, int]:
    """Width and height of a name tag, in pixels."""
    font = font_for(text, size)
    pad = _pad(size)
    height = size + pad
    return min(limit, max(height, round(font.getlength(drawable(text, font))) + 2 * pad)), height


def _pad(size: int) -> int:
    return max(2, round(size * 0.3))


def _tag(text: str, colour: RGB, size: int, limit: int) -> Image.Image:
    """A name tag as an RGBA picture, no wider than ``limit`` pixels."""
    font: Font = font_for(text, size)
    line, pad = drawable(text, font), _pad(size)
    width, height = _tag_size(text, size, 1 << 30)
    shape = Image.new("L", (width * _SMOOTH, height * _SMOOTH), 0)
    corner = (width * _SMOOTH - 1, height * _SMOOTH - 1)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, *corner), round(size * 0.2) * _SMOOTH, fill=255)
    tag = Image.new("RGBA", (width, height), (*colour, 0))
    tag.putalpha(shape.resize((width, height), Image.Resampling.BOX))
    ink = ImageDraw.Draw(tag)
    # Centred on capitals, not on this text's own letters, so that the tags of a row line up.
    _, top, _, bottom = font.getbbox("H")
    ink.text((pad, (height - top - bottom) / 2), line, font=font, fill=(*text_colour(colour), 255))
    return tag.crop((0, 0, min(width, limit), height))


def _cell(picture: Picture, boxes: Boxes, colours: Mapping[str, RGB], width: int) -> Image.Image:
    """The picture at the given width, boxes drawn after scaling, so that lines and letters stay sharp."""
    image = as_picture(picture)
    # A tall picture gets less width, so that no line of a sheet is higher than it is wide.
    scale = min(width / image.width, width * 1.1 / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    factors = np.array([size[0] / image.width, size[1] / image.height] * 2)
    smooth = image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    return draw_boxes(
        smooth, _as_rows(boxes.boxes) * factors, boxes.names, boxes.scores, colours, boxes.crowd
    )


def _as_rows(boxes: Any) -> Array:
    values = boxes.detach().cpu().numpy() if hasattr(boxes, "detach") else boxes
    return np.array(values, dtype=np.float64).reshape(-1, 4)


def _tag_texts(names: Sequence[str], scores: Any) -> list[str]:
    if scores is None:
        return [str(name) for name in names]
    values = scores.tolist() if hasattr(scores, "tolist") else scores
    return [f"{name} {score:.2f}".strip() for name, score in zip(names, values, strict=True)]


def _box_colours(names: Sequence[str], colours: Mapping[str, RGB] | Sequence[RGB] | None) -> list[RGB]:
    if colours is None:
        colours = name_colours(names)
    if isinstance(colours, Mapping):
        spare = name_colours([*colours, *names])
        return [colours.get(name, spare[name]) for name in names]
    return list(colours)
