"""The decoder and the loader over a folder of pictures, each in a process of its own: a line for every picture.

python tests/torture/picture_readers.py decode|load FOLDER ROWS.jsonl
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from memory import most_resident, resident

NAME = re.compile(r"\d{5}_[a-z]+_[a-z]+\.[a-z]+")
"""Of a mutant."""
AT_ONCE = 100
"""Pictures of one label file of the loader's."""


def write_labels(file: Path, folder: Path, names: Sequence[str]) -> Path:
    """A box on each of these pictures, as COCO."""
    images = [{"id": number, "file_name": f"{folder.name}/{name}"} for number, name in enumerate(names)]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": [1, 1, 9, 9]} for n in range(len(names))
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return file


def decode(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file by the decoder: name and error."""
    from foveal.data.decode import picture_size, read_picture
    from foveal.errors import DataError

    for path in sorted(folder.iterdir()):
        try:
            size = picture_size(path)
            shape = read_picture(path).shape
            assert shape == (size.height, size.width, 3), f"{path}: {shape} and {size}"
            yield path.name, ""
        except DataError as error:
            line = str(error)
            if path.name not in line or len(line.splitlines()) != 1:
                raise AssertionError(f"{path} is refused so: {line}") from error
            yield path.name, line


def load(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file by the reader of labels and the loader of a validation, then as the doctor looks at it."""
    from foveal.data.coco import read_coco
    from foveal.data.loader import make_loader
    from foveal.diagnosis.doctor.looking import look

    names = sorted(path.name for path in folder.iterdir())
    for start in range(0, len(names), AT_ONCE):
        records = read_coco(write_labels(folder.parent / "some.json", folder, names[start : start + AT_ONCE]))
        yield "", ""
        faults = [fault.message for fault in records.faults if fault.kind == "unreadable_picture"]
        loader = make_loader(records, (128, 128), 1, train=False, workers=0)
        for _ in loader:
            yield "", ""
        for line in (*faults, *loader.unreadable):
            yield NAME.findall(line)[0], line
        for place in range(len(records)):
            look(records.path(place), True)
            yield "", ""


def main() -> None:
    """A child: a line for each picture."""
    what, folder, output = sys.argv[1:]
    if what == "decode":
        import foveal.data.decode
    else:
        import foveal.data.loader
        import foveal.diagnosis.doctor.looking  # noqa: F401
    before = resident()
    rows = {"decode": decode, "load": load}[what](Path(folder))
    with Path(output).open("w") as stream:
        began = time.monotonic()
        for name, error in rows:
            seconds = time.monotonic() - began
            memory = {"resident": before, "most": most_resident()}
            stream.write(json.dumps({"name": name, "error": error, "seconds": seconds, **memory}) + "\n")
            stream.flush()
            began = time.monotonic()


if __name__ == "__main__":
    main()
