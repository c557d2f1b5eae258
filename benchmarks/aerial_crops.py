"""Make a set of small objects: photographs shrunk until their objects are 8 to 20 px, many on one picture.

    python benchmarks/aerial_crops.py ANNOTATIONS.json OUTPUT [--pictures 48] [--size 512] [--seed 0]

What aerial pictures are to a detector, made from any labelled set (COCO JSON; here the chess pieces of
docs/data.md): every picture is a field of shrunk photographs on noisy ground, each at a scale of its own, half of
them mirrored. OUTPUT gets the pictures and ``annotations.json``; the same arguments give the same set.
``--classes prefix`` keeps of a class name what stands before the first "-" (chess: black and white): more is not
to be seen in 12 pixels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveal.data.coco import read_coco
from foveal.data.records import Records

SIDES = (8.0, 20.0)
"""Median object of a shrunk photograph, in pixels (square root of the area)."""
GAP = 8


def shrunk(
    records: Records, index: int, rng: np.random.Generator
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """One photograph at a drawn scale: the picture, its boxes [M, 4] and their labels."""
    rows = records.rows(index)
    sides = np.sqrt((rows.boxes[:, 2:] - rows.boxes[:, :2]).prod(axis=1))
    scale = float(np.exp(rng.uniform(*np.log(SIDES)))) / float(np.median(sides))
    picture = Image.fromarray(records.load(index))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    boxes = rows.boxes * np.array([size[0] / picture.width, size[1] / picture.height] * 2)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes = np.stack([size[0] - boxes[:, 2], boxes[:, 1], size[0] - boxes[:, 0], boxes[:, 3]], axis=1)
    return small, boxes, rows.labels


def field(
    records: Records, size: int, rng: np.random.Generator
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """A picture of ``size`` pixels filled row by row with shrunk photographs; only whole ones are placed."""
    ground = rng.integers(60, 190, 3) + rng.normal(0, 12, (size, size, 1))
    page = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    labelled = [i for i in range(len(records)) if len(records.rows(i).boxes)]
    boxes, labels = [np.zeros((0, 4))], [np.zeros(0, dtype=np.int64)]
    left, top, line = GAP, GAP, 0
    for _ in range(200):
        small, found, classes = shrunk(records, int(rng.choice(labelled)), rng)
        if left + small.width + GAP > size:
            left, top, line = GAP, top + line + GAP, 0
        if small.width + 2 * GAP > size or top + small.height + GAP > size:
            break
        page.paste(small, (left, top))
        boxes.append(found + np.array([left, top] * 2))
        labels.append(classes)
        left, line = left + small.width + GAP + int(rng.integers(0, 24)), max(line, small.height)
    return page, np.concatenate(boxes), np.concatenate(labels)


def main() -> None:
    """Read, shrink, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", choices=("all", "prefix"), default="prefix")
    args = parser.parse_args()
    records = read_coco(args.annotations)
    names = [n.split("-")[0] if args.classes == "prefix" else n for n in records.classes.names]
    kept = sorted(set(names))
    args.output.mkdir(parents=True, exist_ok=False)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, args.pictures + 1):
        rng = np.random.default_rng((args.seed, number))
        page, boxes, labels = field(records, args.size, rng)
        file = f"field_{number:04d}.png"
        page.save(args.output / file)
        images.append({"id": number, "file_name": file, "width": args.size, "height": args.size})
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            box = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
            category = kept.index(names[label]) + 1
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(kept)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (args.output / "annotations.json").write_text(json.dumps(content))
    print(f"{args.output}: {len(images)} pictures, {len(annotations)} boxes of {', '.join(kept)}")


if __name__ == "__main__":
    main()
