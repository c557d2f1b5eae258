"""The boxes that anchors serve worst, as the network sees them, each with the anchor that comes nearest."""

from __future__ import annotations

import numpy as np
from PIL import Image

from foveal.data.records import Records
from foveal.diagnosis.anchors.check import AnchorCheck
from foveal.errors import DataError
from foveal.grammar import many
from foveal.ops.letterbox import PAD_VALUE
from foveal.runtime.draw import draw_boxes
from foveal.runtime.palette import RGB
from foveal.runtime.sheet import beside, grid, titled
from foveal.types import Array

CELL = 300
"""Side of a picture of the sheet, in pixels."""
SURROUNDINGS = 5.0
"""Side of what is shown, in sides of the box."""
LEAST_WINDOW = 40
BOX: RGB = (213, 94, 0)
ANCHOR: RGB = (86, 180, 233)
KEY = {"labelled box": BOX, "its best anchor (dashed)": ANCHOR}


def worst_rows(check: AnchorCheck, most: int) -> Array:
    """Rows of boxes without an object, then of lowest best IoU; a picture comes again when all have had a turn."""
    if not len(check.boxes.boxes):
        return np.zeros(0, dtype=np.int64)
    reached = np.asarray(check.positives.any(axis=1))
    order = np.lexsort((check.best.iou, reached))
    owner = check.boxes.owner[order]
    by_picture = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_picture], owner[by_picture])
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_picture] = np.arange(len(order)) - starts
    rows: Array = order[np.lexsort((np.arange(len(order)), turn, reached[order]))][:most]
    return rows


def draw_worst(check: AnchorCheck, records: Records, most: int = 12, columns: int = 4) -> Image.Image:
    """A sheet of the worst boxes and their best anchors. records: what the check was made of (``as_trained``).

    Each cell is a window of the canvas around one box, enlarged pixel by pixel: that is all the network is given.
    ValueError where there is no box.
    """
    rows = worst_rows(check, most)
    tiles = [_tile(check, records, int(row)) for row in rows]
    height, width = check.canvas
    without = len(check.unreached)
    total = len(check.boxes.boxes)
    first = (
        f"{without:,} of {total:,} boxes have no positive anchor"
        if without
        else "every box has a positive anchor"
    )
    header = f"{first}; the worst {len(rows)}, on a canvas of {width} x {height}"
    return grid(tiles, columns, header, KEY)


def _tile(check: AnchorCheck, records: Records, row: int) -> Image.Image:
    place = int(check.boxes.owner[row])
    picture = int(check.boxes.pictures[place])
    box, anchor = check.boxes.boxes[row].astype(float), check.best.anchor[row].astype(float)
    corner, side = _window(box, anchor)
    zoom = CELL / side
    seen = _seen(records, picture, float(check.boxes.zoom[place]), corner, side)
    shown = (np.stack([anchor, box]) - np.array([*corner, *corner])) * zoom
    level = check.levels[check.best.level[row]].name
    name = records.classes.names[check.boxes.labels[row]]
    drawn = draw_boxes(seen, shown, [level, name], colours=[ANCHOR, BOX], crowd=[True, False])
    w, h = check.boxes.shapes[row]
    aw, ah = anchor[2:] - anchor[:2]
    count = int(check.positives[row].sum())
    words = "no positive anchor" if not count else many(count, "positive anchor")
    tile = beside(
        [drawn], [f"{w:.0f} x {h:.0f} px, {level} {aw:.0f} x {ah:.0f}: IoU {check.best.iou[row]:.2f}"], gap=0
    )
    return titled(beside([tile], [words], gap=0), str(records.files[picture]).rsplit("/", 1)[-1])


def _window(box: Array, anchor: Array) -> tuple[Array, float]:
    """Left upper corner and side of the square that shows the box, its surroundings and the anchor."""
    both = np.concatenate([np.minimum(box[:2], anchor[:2]), np.maximum(box[2:], anchor[2:])])
    longest = float((box[2:] - box[:2]).max())
    side = max(LEAST_WINDOW, SURROUNDINGS * longest, 1.25 * float((both[2:] - both[:2]).max()))
    side = float(np.ceil(side))
    return np.round((both[:2] + both[2:]) / 2 - side / 2), side


def _seen(records: Records, picture: int, zoom: float, corner: Array, side: float) -> Image.Image:
    """The window of the letterboxed picture, enlarged; padding grey outside it, and where it cannot be read."""
    try:
        stored = Image.fromarray(records.load(picture))
    except (DataError, OSError):
        return Image.new("RGB", (CELL, CELL), (PAD_VALUE,) * 3)
    size = (max(1, round(stored.width * zoom)), max(1, round(stored.height * zoom)))
    scaled = stored.resize(size, Image.Resampling.BILINEAR)
    page = Image.new("RGB", (round(side), round(side)), (PAD_VALUE,) * 3)
    page.paste(scaled, (-int(corner[0]), -int(corner[1])))
    return page.resize((CELL, CELL), Image.Resampling.NEAREST)
