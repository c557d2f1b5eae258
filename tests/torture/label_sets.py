"""Small labelled sets of four formats, and faults planted in them at known places."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

STEMS = ("a", "b", "c", "d")
CLASSES = ("cat", "dog", "bird")
WIDTH, HEIGHT = 64, 48
BOXES = 3
"""On each picture."""


class Planted(NamedTuple):
    """A set with faults in it."""

    format: str
    target: Path
    """What a command is given."""
    places: tuple[str, ...]
    """Each has to be named, as it is here, after the folder."""
    boxes: int
    """Boxes that are left."""


def pictures(folder: Path) -> None:
    """Sound ones, once; each set has links to them."""
    folder.mkdir()
    for number, stem in enumerate(STEMS):
        Image.effect_noise((WIDTH, HEIGHT), 40 + number).convert("RGB").save(folder / f"{stem}.png")


def plant(format: str, folder: Path, made: Path, count: int, chance: random.Random) -> Planted:
    """A set in a new folder, with ``count`` faults; 0: a sound one."""
    folder.mkdir()
    for stem in STEMS:
        os.link(made / f"{stem}.png", folder / f"{stem}.png")
    target, places, boxes = SETS[format](folder, count, chance)
    return Planted(format, target, tuple(places), boxes)


def _corners(number: int) -> tuple[int, int, int, int]:
    x, y = 3 + 7 * (number % 4), 2 + 5 * (number % 3)
    return x, y, x + 12 + number, y + 9 + number


def _write(path: Path, text: str, chance: random.Random) -> None:
    """In UTF-8, perhaps with a byte order mark and the line ends of Windows."""
    if chance.random() < 0.3:
        text = text.replace("\n", "\r\n")
    content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(b"\xef\xbb\xbf" + content if chance.random() < 0.2 else content)


# ---------------------------------------------------------------- COCO

_BAD_BOXES: list[Any] = [
    [float("nan"), 1, 5, 5], [1, 1, float("inf"), 5], [1, 1, -float("inf"), 5], [1, 1, -5, 5], [1, 1, 0, 5],
    [1, 1, 5], [1, 1, 5, 5, 5], [1, 1, "5", 5], [1, 1, True, 5], [1, 1, None, 5], [[1], 1, 5, 5],
    [10**400, 1, 5, 5], [1, 1, 5, -(10**400)], [1e308] * 4, [900, 900, 5, 5], [-90, 1, 5, 5],
    None, {}, "1 1 5 5", 7, [],
]  # fmt: skip
_BAD_CATEGORIES: list[Any] = [99, -1, None, "cat", 1.5, [], {}, True, 2**64, float("nan"), "\ud800", 10**300]
_BAD_IDS: list[Any] = [None, "x", 1.5, [], {}, True, 2**64, -(2**70), float("nan"), "\ud800", "1_0", 10**400]


def _coco(folder: Path, count: int, chance: random.Random) -> tuple[Path, list[str], int]:
    images: list[Any] = [{"id": 10 + n, "file_name": f"{stem}.png"} for n, stem in enumerate(STEMS)]
    boxes: list[Any] = []
    for number in range(BOXES * len(STEMS)):
        x1, y1, x2, y2 = _corners(number)
        row = {"id": 101 + number, "image_id": 10 + number % len(STEMS), "iscrowd": 0}
        boxes.append({**row, "category_id": 1 + number % len(CLASSES), "bbox": [x1, y1, x2 - x1, y2 - y1]})
    categories: list[Any] = [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)]
    left, file = len(boxes), "labels.json"
    rows, places = chance.sample(range(len(boxes)), count), []
    for number in rows:
        row, what = boxes[number], chance.randrange(8)
        if what < 3:
            row["bbox"] = chance.choice(_BAD_BOXES)
        elif what == 3:
            row["category_id"] = chance.choice(_BAD_CATEGORIES)
        elif what == 4:
            del row[chance.choice(["bbox", "category_id"])]
        elif what == 5:
            row["image_id"] = 777
        elif what == 6:
            row["image_id"] = chance.choice(_BAD_IDS)
            places.append(f"{file}: annotations[{number}]")
            left -= 1
            continue
        else:
            entry, more, place = _extra(images, boxes, categories, chance)
            entry.append(more)
            places.append(f"{file}: {place}")
            continue
        places.append(f"{file}: annotation {row['id']}")
        left -= 1
    content = {"images": images, "annotations": boxes, "categories": categories}
    _write(folder / file, json.dumps(content, ensure_ascii=True, indent=chance.choice([None, 1])), chance)
    return folder / file, places, left


def _extra(
    images: list[Any], boxes: list[Any], categories: list[Any], chance: random.Random
) -> tuple[Any, Any, str]:
    """One more entry, which is wrong: its list, itself, its place."""
    odd = chance.choice([None, 7, "x", [], True, [1, 2], {}])
    what = chance.randrange(7)
    if what == 0:
        return images, odd, f"images[{len(images)}]"
    if what == 1:
        return boxes, odd, f"annotations[{len(boxes)}]"
    if what == 2:
        return categories, odd, f"categories[{len(categories)}]"
    if what == 3:
        bad = {"id": chance.choice(_BAD_IDS), "file_name": "a.png"}
        return images, bad, f"images[{len(images)}]"
    if what == 4:
        name = chance.choice(["gone.png", "", None, 7, "\ud800.png", "a\0.png", "x" * 5000, ["a.png"]])
        return images, {"id": 5000 + len(images), "file_name": name}, f"images[{len(images)}]"
    if what == 5:
        return images, dict(images[0]), f"images[{len(images)}]"
    name = chance.choice([None, 7, "", " ", "\ud800", [], {}])
    return categories, {"id": 70 + len(categories), "name": name}, f"categories[{len(categories)}]"


# ---------------------------------------------------------------- VOC

_BAD_NUMBERS = ["nan", "inf", "-inf", "1_0", "ten", "", "0x10", "1,5", "\uff11\uff10 px", "1e999", "1 2", "-"]


def _voc(folder: Path, count: int, chance: random.Random) -> tuple[Path, list[str], int]:
    bad = set(chance.sample(range(BOXES * len(STEMS)), count))
    places, left = [], BOXES * len(STEMS)
    for picture, stem in enumerate(STEMS):
        lines = ["<annotation>", f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"]
        for number in range(picture, BOXES * len(STEMS), len(STEMS)):
            name, sides = CLASSES[number % len(CLASSES)], [str(side) for side in _corners(number)]
            tags = ["xmin", "ymin", "xmax", "ymax"]
            if number in bad:
                places.append(f"{stem}.xml:{len(lines) + 1}")
                left -= 1
                what = chance.randrange(5)
                if what == 0:
                    sides[chance.randrange(4)] = chance.choice(_BAD_NUMBERS)
                elif what == 1:
                    sides[0], sides[2] = sides[2], sides[chance.choice([0, 2])]
                elif what == 2:
                    tags[chance.randrange(4)] = "other"
                elif what == 3:
                    name = chance.choice(["", " ", "\t"])
                else:
                    sides = chance.choice([["900", "900", "950", "950"], ["-90", "1", "-5", "9"], ["0"] * 4])
            box = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(tags, sides, strict=True))
            lines.append(f"<object><name>{name}</name><bndbox>{box}</bndbox></object>")
        _write(folder / f"{stem}.xml", "\n".join([*lines, "</annotation>", ""]), chance)
    return folder, places, left


# ---------------------------------------------------------------- YOLO

_BAD_ROWS = [
    "0 nan 0.5 0.2 0.2", "0 0.5 0.5 inf 0.2", "0 0.5 0.5 0.2", "0 0.5 0.5 0.2 0.2 0.9", "0", "cat 0.5 0.5 0.2 0.2",
    "9 0.5 0.5 0.2 0.2", "-1 0.5 0.5 0.2 0.2", "0 0.5 0.5 0 0.2", "0 0.5 0.5 -0.2 0.2", "0 0,5 0,5 0,2 0,2",
    "0.5 0.5 0.5 0.2 0.2", "0 1e300 1e300 1e300 1e300", "0 9 9 0.1 0.1", "0 -0.9 0.5 0.2 0.2",
    "1e400 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.2 ten", "99999999999999999999 0.5 0.5 0.1 0.1",
    "0 0.1 0.1 0.2 0.2 0.3", "0 0_1 0.5 0.2 0.2",
    "0;0.5;0.5;0.2;0.2", "\u0660 0.5",
]  # fmt: skip


def _yolo(folder: Path, count: int, chance: random.Random) -> tuple[Path, list[str], int]:
    bad = set(chance.sample(range(BOXES * len(STEMS)), count))
    places, left = [], BOXES * len(STEMS)
    for picture, stem in enumerate(STEMS):
        lines = []
        for number in range(picture, BOXES * len(STEMS), len(STEMS)):
            x1, y1, x2, y2 = _corners(number)
            shares = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
            row = " ".join([str(number % len(CLASSES)), *(f"{share:.6f}" for share in shares)])
            if chance.random() < 0.1:
                lines.append(chance.choice(["", "# a remark", "   "]))
            if number in bad:
                places.append(f"{stem}.txt:{len(lines) + 1}")
                left -= 1
                row = chance.choice(_BAD_ROWS)
            lines.append(row)
        _write(folder / f"{stem}.txt", "\n".join([*lines, ""]), chance)
    _write(folder / "data.yaml", f"train: .\nnc: {len(CLASSES)}\nnames: {json.dumps(CLASSES)}\n", chance)
    return folder / "data.yaml", places, left


# ---------------------------------------------------------------- CSV


def _csv(folder: Path, count: int, chance: random.Random) -> tuple[Path, list[str], int]:
    sign = chance.choice([",", ";", "\t"])
    lines = [sign.join(["filename", "class", "xmin", "ymin", "xmax", "ymax"])]
    bad = set(chance.sample(range(BOXES * len(STEMS)), count))
    places, left = [], BOXES * len(STEMS)
    for number in range(BOXES * len(STEMS)):
        sides = list(map(str, _corners(number)))
        row = [f"{STEMS[number % len(STEMS)]}.png", CLASSES[number % len(CLASSES)], *sides]
        if number in bad:
            places.append(f"labels.csv:{len(lines) + 1}")
            left -= 1
            row = _bad_row(row, lines[0].split(sign), chance)
        lines.append(sign.join(row))
    _write(folder / "labels.csv", "\n".join([*lines, ""]), chance)
    return folder / "labels.csv", places, left


def _bad_row(row: list[str], header: list[str], chance: random.Random) -> list[str]:
    what = chance.randrange(9)
    if what == 0:
        row[chance.randrange(2, 6)] = chance.choice(["nan", "inf", "ten", "", "1_0", "0x1f", "1e999"])
    elif what == 1:
        row[2], row[4] = row[4], row[chance.choice([2, 4])]
    elif what == 2:
        row = row[: chance.randrange(1, 6)]
    elif what == 3:
        row += ["more", "cells"]
    elif what == 4:
        # Each row another one: a picture that is not there is one fault, at the first row that names it.
        row[0] = chance.choice(["gone", "a\ufffd", "x" * 5000]) + f"{row[2]}_{row[3]}_{row[4]}.png"
    elif what == 5:
        row[0] = ""
    elif what == 6:
        row[1] = ""
    elif what == 7:
        return list(header)
    else:
        row[2:] = chance.choice([["900", "900", "950", "950"], ["-90", "1", "-5", "9"], ["9e300"] * 4])
    return row


SETS: dict[str, Callable[[Path, int, random.Random], tuple[Path, list[str], int]]] = {
    "coco": _coco,
    "voc": _voc,
    "yolo": _yolo,
    "csv": _csv,
}
