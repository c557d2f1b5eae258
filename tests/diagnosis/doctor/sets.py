"""A small generated set of two parts, as COCO and as VOC, sound in every way: what the tests do damage to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveal.data.shapes import make_shapes

SIDE, WIDTH = 96, 144
CLASSES = 3
TRAIN, VAL = 44, 24

CSV_HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"
Content = dict[str, list[dict[str, Any]]]


def write_coco_set(folder: Path) -> None:
    """``annotations/instances_{train,val}.json`` and ``images/{train,val}/``; pictures are 144 x 96."""
    for seed, (part, count) in enumerate((("train", TRAIN), ("val", VAL))):
        images = folder / "images" / part
        images.mkdir(parents=True)
        content = _content(count, seed, images)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))


def _content(count: int, seed: int, images: Path) -> Content:
    shapes = make_shapes(count, CLASSES, SIDE, seed=seed, empty_share=0.0)
    rng = np.random.default_rng(seed)
    content: Content = {"images": [], "annotations": [], "categories": []}
    for picture in range(count):
        name, left = f"{seed}_{picture:03d}.png", int(rng.integers(0, WIDTH - SIDE + 1))
        pixels = np.repeat(np.repeat(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8), 16, 0), 16, 1)
        pixels[:, left : left + SIDE] = shapes.load(picture)
        Image.fromarray(pixels).save(images / name)
        content["images"].append({"id": picture + 1, "file_name": name, "height": SIDE, "width": WIDTH})
        rows = shapes.rows(picture)
        for (x1, y1, x2, y2), label in zip(rows.boxes.tolist(), rows.labels.tolist(), strict=True):
            box = [x1 + left, y1, x2 - x1, y2 - y1]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": picture + 1,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    content["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(shapes.classes.names)]
    for image in content["images"]:
        image["id"] += 1000 * seed
    for annotation in content["annotations"]:
        annotation["image_id"] += 1000 * seed
    return content


def write_voc_set(folder: Path, coco: Path) -> None:
    """The same as ``{train,val}/*.xml`` beside the pictures, whole numbers, 1-based."""
    for part in ("train", "val"):
        content = read_labels(coco, part)
        names = {row["id"]: row["name"] for row in content["categories"]}
        (folder / part).mkdir(parents=True)
        for image in content["images"]:
            name = image["file_name"]
            (folder / part / name).write_bytes((coco / "images" / part / name).read_bytes())
            rows = [row for row in content["annotations"] if row["image_id"] == image["id"]]
            write_voc_sheet(
                folder / part / name, [(names[r["category_id"]], _corners(r["bbox"])) for r in rows]
            )


def _corners(box: list[float]) -> tuple[float, ...]:
    x, y, width, height = box
    return (int(x) + 1, int(y) + 1, int(x + width), int(y + height))


def write_voc_sheet(picture: Path, objects: list[tuple[str, tuple[float, ...]]]) -> None:
    """The XML file of a picture: an object a line, from line 3 on."""
    lines = [f"<annotation><filename>{picture.name}</filename>"]
    lines.append(f"<size><width>{WIDTH}</width><height>{SIDE}</height><depth>3</depth></size>")
    for name, corners in objects:
        sides = "".join(
            f"<{side}>{value}</{side}>"
            for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        lines.append(f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>")
    picture.with_suffix(".xml").write_text("\n".join([*lines, "</annotation>"]))


def write_yolo_set(folder: Path, coco: Path) -> None:
    """The same as ``data.yaml``, ``{train,val}/images`` and ``{train,val}/labels``."""
    names: list[str] = []
    for part in ("train", "val"):
        content = read_labels(coco, part)
        names = [row["name"] for row in content["categories"]]
        (folder / part / "images").mkdir(parents=True)
        (folder / part / "labels").mkdir()
        for image in content["images"]:
            name = image["file_name"]
            (folder / part / "images" / name).write_bytes((coco / "images" / part / name).read_bytes())
            lines = []
            for row in content["annotations"]:
                if row["image_id"] == image["id"]:
                    x, y, width, height = row["bbox"]
                    box = ((x + width / 2) / WIDTH, (y + height / 2) / SIDE, width / WIDTH, height / SIDE)
                    lines.append(" ".join([str(row["category_id"] - 1), *(f"{value:.6f}" for value in box)]))
            (folder / part / "labels" / name).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    parts = "".join(f"{part}: {part}/images\n" for part in ("train", "val"))
    (folder / "data.yaml").write_text(f"{parts}nc: {len(names)}\nnames: {json.dumps(names)}\n")


def write_csv_set(folder: Path, coco: Path) -> None:
    """The same as ``{train,val}_labels.csv`` and ``{train,val}/``; a picture's first box of train is in line 2."""
    for part in ("train", "val"):
        content = read_labels(coco, part)
        names = {row["id"]: row["name"] for row in content["categories"]}
        files = {image["id"]: image["file_name"] for image in content["images"]}
        (folder / part).mkdir(parents=True)
        for name in files.values():
            (folder / part / name).write_bytes((coco / "images" / part / name).read_bytes())
        lines = [CSV_HEADER]
        for row in content["annotations"]:
            x, y, width, height = row["bbox"]
            box = ",".join(f"{value:.2f}" for value in (x, y, x + width, y + height))
            lines.append(f"{files[row['image_id']]},{WIDTH},{SIDE},{names[row['category_id']]},{box}")
        (folder / f"{part}_labels.csv").write_text("\n".join(lines) + "\n")


def read_labels(folder: Path, part: str) -> Content:
    """A part's COCO JSON."""
    content: Content = json.loads((folder / "annotations" / f"instances_{part}.json").read_text())
    return content


def write_labels(folder: Path, part: str, content: Content) -> None:
    """The reverse."""
    (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
