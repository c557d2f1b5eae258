"""How long the doctor takes over a million boxes: reading, looking at the pictures, and the rules, apart.

    python benchmarks/doctor_speed.py [BOXES] [PICTURES]

Writes a generated set into a temporary folder: noise pictures of 320 x 240, boxes of every size at random places.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from foveal.diagnosis.doctor.check import check
from foveal.diagnosis.doctor.looking import look_at
from foveal.diagnosis.doctor.reading import read_case
from foveal.verbs.doctor import WORKERS

HEIGHT, WIDTH, CLASSES = 240, 320, 80


def write_set(folder: Path, boxes: int, pictures: int) -> Path:
    """A COCO file and its pictures."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    images = []
    for number in range(pictures):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        name = f"{number:06d}.jpg"
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(
            folder / "images" / name
        )
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
    sides = np.exp(rng.uniform(np.log(4), np.log(120), (boxes, 2)))
    corners = rng.uniform(0, 1, (boxes, 2)) * (np.array([WIDTH, HEIGHT]) - sides)
    rows = np.concatenate([corners, sides], axis=1).round(2).tolist()
    labels = rng.integers(1, CLASSES + 1, boxes).tolist()
    annotations = [
        {
            "id": n,
            "image_id": n % pictures,
            "category_id": label,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for n, (box, label) in enumerate(zip(rows, labels, strict=True))
    ]
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def clock() -> tuple[float, float]:
    """Seconds by the wall and of the processor, all threads."""
    return time.perf_counter(), time.process_time()


def main() -> None:
    boxes, pictures = (int(word) for word in (*sys.argv[1:], "1000000", "5000")[:2])
    with tempfile.TemporaryDirectory() as name:
        path = write_set(Path(name), boxes, pictures)
        clocks = [clock()]
        case = read_case(path)
        clocks.append(clock())
        looked = [look_at(part, "all", WORKERS, lambda: None) for part in case.parts]
        clocks.append(clock())
        report = check(case.parts, looked)
        clocks.append(clock())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{boxes:,} boxes on {pictures:,} pictures, {WORKERS} threads, peak {memory:.1f} GiB")
    for name, before, after in zip(("reading", "pictures", "rules"), clocks, clocks[1:], strict=False):
        print(f"{name}: {after[0] - before[0]:.1f} s, of them {after[1] - before[1]:.1f} s of processor")
    print(", ".join(f"{len(group.findings)} {group.rule}" for group in report.groups()))


if __name__ == "__main__":
    main()
