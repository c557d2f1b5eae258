"""Rows of a journal -> the files that other programs read. Each reads the journal anew and holds one row of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from foveal.data.csv_cell import cell
from foveal.errors import UsageError
from foveal.files import write_atomically, write_text
from foveal.runtime.journal import OK, Row, detections_of
from foveal.types import ClassNames

COLUMNS = ("file", "name", "score", "x1", "y1", "x2", "y2", "label", "width", "height")
YOLO_FOLDER = "labels"
PARQUET_ROWS = 512
"""Pictures that are turned into columns at a time."""


class Found(NamedTuple):
    """All that a format is made of."""

    folder: Path
    """Where its files go."""
    rows: Callable[[], Iterator[Row]]
    """The journal, from its beginning at each call."""
    classes: ClassNames
    info: dict[str, Any]
    names: dict[str, str]
    """A file name of its own for every picture, without an ending."""


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, each once; one text may hold several with commas between. UsageError for others."""
    wanted = tuple(
        dict.fromkeys(name.strip() for text in formats for name in text.split(",") if name.strip())
    )
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"format {name!r} is not known; use {', '.join(FORMATS)}")
    if "parquet" in wanted:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError("format parquet needs pyarrow: pip install pyarrow") from None
    return wanted


def write_coco(found: Found) -> None:
    """``detections.json``: COCO, with score and area in each annotation; pictures are numbered from 1."""
    write_atomically(found.folder / "detections.json", lambda stream: _stream_coco(found, stream))


def write_csv(found: Found) -> None:
    """``detections.csv``: a row per detection."""

    def write(stream: IO[bytes]) -> None:
        text = io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in _pictures(found):
            for one in row["detections"]:
                numbers = (one["score"], *one["box"], one["label"], row["width"], row["height"])
                writer.writerow((cell(row["file"]), cell(one["name"]), *numbers))
        text.detach()

    write_atomically(found.folder / "detections.csv", write)


def write_yolo(found: Found) -> None:
    """``labels/NAME.txt`` per picture: class, centre x, centre y, width, height as shares of the picture, score;
    and ``classes.txt``."""
    folder = found.folder / YOLO_FOLDER
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in found.classes.names))
    for row in _pictures(found):
        width, height = row["width"], row["height"]
        lines = []
        for one in row["detections"]:
            x1, y1, x2, y2 = one["box"]
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            numbers = " ".join(f"{value:.6f}" for value in (*shares, one["score"]))
            lines.append(f"{one['label']} {numbers}\n")
        path = folder / f"{found.names[row['file']]}.txt"
        path.write_text("".join(lines), encoding="utf-8")


def write_parquet(found: Found) -> None:
    """``detections.parquet``: a row per picture, those with an error, too; detections are lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {"boxes": pa.list_(pa.list_(pa.float32())), "scores": pa.list_(pa.float32())}
    lists |= {"labels": pa.list_(pa.int64()), "names": pa.list_(pa.string())}
    texts = {name: pa.string() for name in ("file", "status", "error")}
    sizes = {"height": pa.int64(), "width": pa.int64()}
    schema = pa.schema({**texts, **sizes, **lists})

    def write(stream: IO[bytes]) -> None:
        with pq.ParquetWriter(stream, schema) as writer:
            for rows in _groups(found.rows(), PARQUET_ROWS):
                writer.write_table(pa.Table.from_pylist([_columns(row) for row in rows], schema))

    write_atomically(found.folder / "detections.parquet", write)


def _columns(row: Row) -> Row:
    keys = {"boxes": "box", "scores": "score", "labels": "label", "names": "name"}
    plain = {name: row.get(name) for name in ("file", "status", "error", "height", "width")}
    plain["file"], plain["error"] = _utf8(plain["file"]), _utf8(plain["error"])
    return {
        **plain,
        **{column: [one[key] for one in row.get("detections", ())] for column, key in keys.items()},
    }


def _utf8(text: str | None) -> str | None:
    """A name that is no UTF-8 on the disk, as the other formats have it."""
    return None if text is None else text.encode(errors="backslashreplace").decode()


def _groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _pictures(found: Found) -> Iterator[Row]:
    """The rows of pictures that were looked at."""
    return (row for row in found.rows() if row["status"] == OK and "detections" in row)


def _stream_coco(found: Found, stream: IO[bytes]) -> None:
    def put(text: str) -> None:
        stream.write(text.encode(errors="backslashreplace"))

    def rows(name: str, values: Iterable[object]) -> None:
        put(f'"{name}": [')
        for number, value in enumerate(values):
            put((",\n" if number else "\n") + json.dumps(value))
        put("\n]")

    put("{" + f'"info": {json.dumps(found.info)},\n')
    rows("images", _coco_images(found))
    put(",\n")
    pairs = zip(found.classes.ids, found.classes.names, strict=True)
    rows("categories", ({"id": class_id, "name": name} for class_id, name in pairs))
    put(",\n")
    rows("annotations", _coco_annotations(found))
    put("}\n")


def _coco_images(found: Found) -> Iterator[Row]:
    for image_id, row in enumerate(_pictures(found), start=1):
        yield {"id": image_id, "file_name": row["file"], "height": row["height"], "width": row["width"]}


def _coco_annotations(found: Found) -> Iterator[Row]:
    number = 0
    for image_id, row in enumerate(_pictures(found), start=1):
        for one in detections_of(row).to_coco(image_id, found.classes.ids):
            number += 1
            # Readers of labels ask for an area, which results have none of.
            yield {"id": number, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3], **one}


def _nothing_more(found: Found) -> None:
    """The journal is the file."""


FORMATS: dict[str, Callable[[Found], None]] = {
    "coco": write_coco,
    "csv": write_csv,
    "jsonl": _nothing_more,
    "yolo": write_yolo,
    "parquet": write_parquet,
}
