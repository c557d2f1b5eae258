"""Galleries: what a person should look at, as sheets of crops with label and detection drawn, and as rows."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from foveal.data.records import Records
from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.after.places import Suspect
from foveal.diagnosis.after.suspects import LIMIT, TITLES, suspects
from foveal.errors import DataError
from foveal.files import write_bytes, write_text
from foveal.metrics.matching import NONE
from foveal.runtime.draw import draw_boxes
from foveal.runtime.palette import RGB
from foveal.runtime.sheet import PAPER, beside, grid, titled
from foveal.types import Array

ROWS_FILE = "galleries.json"
LABEL: RGB = (0, 230, 150)
DETECTION: RGB = (255, 120, 0)
CELL = 288
"""Pixels of a crop's sides on the sheet."""
COLUMNS, LEAST_COLUMNS = 5, 3
CONTEXT, LEAST = 2.0, 48
"""A crop is this many times as wide as what it shows, and no narrower than this, in the picture's pixels."""
_PICTURES_HELD = 8


class Gallery(NamedTuple):
    """One sheet and what is on it."""

    name: str
    title: str
    file: str
    """The sheet's name in the galleries' folder."""
    rows: list[dict[str, Any]]
    """``file``, ``image_id``, ``why``, ``iou`` of the two, ``label`` (class, box) and ``detection`` (class, score,
    box) with xyxy boxes in the picture's pixels; the one that is not there is null."""


def write_galleries(result: Analysis, records: Records, folder: Path, limit: int = LIMIT) -> list[Gallery]:
    """Write a sheet per gallery that is not empty, and all their rows as ``galleries.json``.

    Files of the same names are replaced. A picture that cannot be read any more is left out of the sheet, not of
    the rows.
    """
    load = lru_cache(_PICTURES_HELD)(records.load)
    made = []
    for name, found in suspects(result, limit).items():
        if not found:
            continue
        file = f"{name}.jpg"
        tiles = [tile for suspect in found if (tile := _tile(result, records, load, suspect)) is not None]
        if tiles:
            key = {"label": LABEL, "detection": DETECTION}
            header = f"{TITLES[name]} · {len(found)}"
            # A header is one line, which a sheet of one crop would cut.
            tiles += [Image.new("RGB", (CELL, CELL), PAPER)] * (LEAST_COLUMNS - len(tiles))
            _save(grid(tiles, COLUMNS, header, key), folder / file)
        made.append(Gallery(name, TITLES[name], file, [_row(result, records, suspect) for suspect in found]))
    write_text(folder / ROWS_FILE, json.dumps([gallery._asdict() for gallery in made], indent=1) + "\n")
    return made


def _tile(result: Analysis, records: Records, load: Any, suspect: Suspect) -> Image.Image | None:
    """A crop around the place: its label and detection, other labels dashed, the file above, the reason below."""
    try:
        pixels = load(suspect.picture)
    except DataError:
        return None
    truth, names = result.truth, result.truth.classes.names
    focus, tags, colours = [], [], []
    if suspect.truth != NONE:
        focus.append(truth.boxes[suspect.truth])
        tags.append(names[truth.labels[suspect.truth]])
        colours.append(LABEL)
    if suspect.detection != NONE:
        focus.append(result.found.boxes[suspect.detection])
        score = result.found.scores[suspect.detection]
        tags.append(f"{names[result.found.labels[suspect.detection]]} {score:.2f}")
        colours.append(DETECTION)
    window = _window(np.array(focus), pixels.shape[0], pixels.shape[1])
    others = np.arange(truth.offsets[suspect.picture], truth.offsets[suspect.picture + 1])
    others = others[(others != suspect.truth) & _touching(truth.boxes[others], window)]
    boxes = np.concatenate([np.array(focus), truth.boxes[others]])
    crop, boxes = _cut(pixels, boxes, window)
    many = len(others)
    drawn = draw_boxes(
        crop,
        boxes,
        [*tags, *[""] * many],
        None,
        [*colours, *[LABEL] * many],
        [False] * len(tags) + [True] * many,
    )
    file = Path(str(records.files[suspect.picture])).name
    return titled(beside([drawn], [suspect.why], gap=0), file)


def _window(focus: Array, height: int, width: int) -> tuple[int, int, int, int]:
    """A square around the boxes, moved into the picture; cut where the picture is smaller."""
    low, high = focus[:, :2].min(axis=0), focus[:, 2:].max(axis=0)
    side = max(CONTEXT * float((high - low).max()), LEAST)
    middle = (low + high) / 2
    x = float(np.clip(middle[0] - side / 2, 0, max(width - side, 0)))
    y = float(np.clip(middle[1] - side / 2, 0, max(height - side, 0)))
    return int(x), int(y), min(width, int(np.ceil(x + side))), min(height, int(np.ceil(y + side)))


def _touching(boxes: Array, window: tuple[int, int, int, int]) -> Array:
    x1, y1, x2, y2 = window
    return np.asarray((boxes[:, 2] > x1) & (boxes[:, 3] > y1) & (boxes[:, 0] < x2) & (boxes[:, 1] < y2))


def _cut(pixels: Array, boxes: Array, window: tuple[int, int, int, int]) -> tuple[Image.Image, Array]:
    """The window at the cell's size, with the boxes in its pixels."""
    x1, y1, x2, y2 = window
    crop = Image.fromarray(pixels[y1:y2, x1:x2])
    scale = CELL / max(x2 - x1, y2 - y1)
    size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
    page = Image.new("RGB", (CELL, CELL), PAPER)
    page.paste(crop.resize(size, Image.Resampling.BICUBIC), (0, 0))
    return page, (boxes - np.array([x1, y1, x1, y1])) * scale


def _row(result: Analysis, records: Records, suspect: Suspect) -> dict[str, Any]:
    truth, found, names = result.truth, result.found, result.truth.classes.names
    row: dict[str, Any] = {
        "file": str(records.files[suspect.picture]),
        "image_id": int(truth.image_ids[suspect.picture]),
        "why": suspect.why,
        "iou": round(suspect.iou, 4),
        "label": None,
        "detection": None,
    }
    if suspect.truth != NONE:
        row["label"] = {
            "class": names[truth.labels[suspect.truth]],
            "box": _rounded(truth.boxes[suspect.truth]),
        }
    if suspect.detection != NONE:
        row["detection"] = {
            "class": names[found.labels[suspect.detection]],
            "score": round(float(found.scores[suspect.detection]), 4),
            "box": _rounded(found.boxes[suspect.detection]),
        }
    return row


def _rounded(box: Sequence[float] | Array) -> list[float]:
    return [round(float(side), 2) for side in box]


def _save(sheet: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    write_bytes(path, buffer.getvalue())
