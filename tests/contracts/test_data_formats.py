"""What every data format must do. A new one is a writer and a line in FORMATS.

Each test builds the same small data set in the format at hand, with one thing wrong, and says what must
come of it: counted under its kind, named by file, and the rest of the set unharmed.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest
from PIL import Image

from foveal.data.coco import read_coco
from foveal.data.csv_table import read_csv
from foveal.data.records import Records
from foveal.data.voc import read_voc
from foveal.data.yolo import read_yolo
from foveal.errors import DataError

HEIGHT, WIDTH = 48, 64


class Sample(NamedTuple):
    """A picture and its labels, whatever the format."""

    name: str
    boxes: list[tuple[str, float, float, float, float]] | None
    """Class name and 0-based x1, y1, x2, y2; None where there is to be no label at all."""
    content: bytes | None = None
    """The picture's bytes, where they are not to be a sound PNG."""


Read = Callable[..., Records]


def _write_coco(folder: Path, samples: Sequence[Sample]) -> Read:
    names = sorted({box[0] for sample in samples for box in sample.boxes or ()})
    images = [
        {"id": 10 * place, "file_name": sample.name, "height": HEIGHT, "width": WIDTH}
        for place, sample in enumerate(samples)
    ]
    annotations = [
        {
            "id": 100 * place + number,
            "image_id": 10 * place,
            "category_id": 5 * names.index(name),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "iscrowd": 0,
        }
        for place, sample in enumerate(samples)
        for number, (name, x1, y1, x2, y2) in enumerate(sample.boxes or ())
    ]
    categories = [{"id": 5 * place, "name": name} for place, name in enumerate(names)]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return lambda **options: read_coco(path, **options)


def _write_voc(folder: Path, samples: Sequence[Sample]) -> Read:
    for sample in samples:
        if sample.boxes is None:
            continue
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
            for name, x1, y1, x2, y2 in sample.boxes
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        (folder / sample.name).with_suffix(".xml").write_text(f"<annotation>{size}\n{objects}</annotation>")
    return lambda **options: read_voc(folder, **options)


def _write_yolo(folder: Path, samples: Sequence[Sample]) -> Read:
    names = sorted({box[0] for sample in samples for box in sample.boxes or ()})
    for sample in samples:
        if sample.boxes is None:
            continue
        rows = "".join(
            f"{names.index(name)} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} "
            f"{(y2 - y1) / HEIGHT}\n"
            for name, x1, y1, x2, y2 in sample.boxes
        )
        (folder / sample.name).with_suffix(".txt").write_text(rows)
    path = folder / "data.yaml"
    path.write_text(f"train: .\nnc: {len(names)}\nnames: {json.dumps(names)}\n")
    return lambda **options: read_yolo(path, part="train", **options)


def _write_csv(folder: Path, samples: Sequence[Sample]) -> Read:
    rows = [
        f"{sample.name},{WIDTH},{HEIGHT},{','.join(map(str, box))}\n"
        for sample in samples
        for box in sample.boxes or [("", "", "", "", "")]
    ]
    path = folder / "labels.csv"
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(rows))
    return lambda **options: read_csv(path, **options)


FORMATS = {
    "coco": (_write_coco, "empty_labels"),  # A COCO file has no label file per picture, and so a CSV.
    "voc": (_write_voc, "no_label_file"),
    "yolo": (_write_yolo, "no_label_file"),
    "csv": (_write_csv, "empty_labels"),
}
"""Writer of each format, and how it counts a picture that has no labels at all."""

SOUND = Sample("a.png", [("cat", 2, 3, 20, 30), ("dog", 0, 0, WIDTH, HEIGHT)])


@pytest.fixture(params=list(FORMATS))
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _dataset(folder: Path, format: str, *samples: Sample) -> Read:
    for sample in samples:
        if sample.content is None:
            Image.new("RGB", (WIDTH, HEIGHT), "green").save(folder / sample.name)
        else:
            (folder / sample.name).write_bytes(sample.content)
    write, _ = FORMATS[format]
    return write(folder, samples)


def _assert_sound(records: Records) -> None:
    """The sound picture came through whole, beside whatever was wrong."""
    place = records.files.tolist().index("a.png")
    rows = records.rows(place)
    assert rows.boxes.tolist() == [[2, 3, 20, 30], [0, 0, WIDTH, HEIGHT]]
    assert [records.classes.names[label] for label in rows.labels] == ["cat", "dog"]
    assert records.load(place).shape == (HEIGHT, WIDTH, 3)


def test_sound_set(tmp_path: Path, format: str) -> None:
    records = _dataset(tmp_path, format, SOUND)()
    _assert_sound(records)
    assert records.fault_counts() == {}
    assert records.classes.names == ("cat", "dog")
    assert not records.crowd.any()
    np.testing.assert_allclose(records.area, [18 * 27, WIDTH * HEIGHT])
    truth = records.ground_truth()
    assert (truth.heights.tolist(), truth.widths.tolist()) == ([HEIGHT], [WIDTH])


def test_missing_label(tmp_path: Path, format: str) -> None:
    records = _dataset(tmp_path, format, SOUND, Sample("b.png", None))()
    _assert_sound(records)
    assert len(records) == 2
    assert records.fault_counts() == {FORMATS[format][1]: 1}


def test_empty_label(tmp_path: Path, format: str) -> None:
    records = _dataset(tmp_path, format, SOUND, Sample("b.png", []))()
    _assert_sound(records)
    assert len(records) == 2
    assert len(records.rows(1).boxes) == 0
    assert records.fault_counts() == {"empty_labels": 1}


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n\0\0"])
def test_corrupt_image(tmp_path: Path, format: str, content: bytes) -> None:
    read = _dataset(tmp_path, format, SOUND, Sample("b.png", [("cat", 1, 1, 5, 5)], content))
    records = read()
    _assert_sound(records)
    assert records.fault_counts() == {"unreadable_picture": 1}
    assert "b.png" in records.faults[0].message
    assert (tmp_path / "b.png").read_bytes() == content
    with pytest.raises(DataError, match=r"b\.png"):
        read(strict=True)


def test_image_that_breaks_off_fails_by_name_when_loaded(tmp_path: Path, format: str) -> None:
    """Reading a data set looks at headers only; the pixels are judged when they are wanted."""
    _dataset(tmp_path, format, Sample("b.png", []))
    cut = (tmp_path / "b.png").read_bytes()[:60]
    records = _dataset(tmp_path, format, SOUND, Sample("b.png", [("cat", 1, 1, 5, 5)], cut))()
    with pytest.raises(DataError, match=r"b\.png"):
        records.load(records.files.tolist().index("b.png"))


@pytest.mark.parametrize(
    ("box", "kind", "kept"),
    [
        ((9, 9, 8.5, 20), "zero_size", None),
        ((float("nan"), 1, 5, 5), "bad_number", None),
        ((1, 1, float("inf"), 5), "bad_number", None),
        ((WIDTH + 1, 1, WIDTH + 9, 9), "outside", None),
        ((50, 40, WIDTH + 9, HEIGHT + 9), "clipped", [50, 40, WIDTH, HEIGHT]),
    ],
)
def test_bad_box(
    tmp_path: Path, format: str, box: tuple[float, float, float, float], kind: str, kept: list[float] | None
) -> None:
    records = _dataset(tmp_path, format, SOUND, Sample("b.png", [("cat", 1, 1, 5, 5), ("cat", *box)]))()
    _assert_sound(records)
    assert records.rows(1).boxes.tolist() == [[1, 1, 5, 5]] + ([kept] if kept else [])
    assert records.fault_counts() == {kind: 1}
    assert str(tmp_path) in records.faults[0].where


@pytest.mark.parametrize(
    "name",
    [
        "w x.png",
        "a.b.PNG",
        "#h.png",
        "q'u.png",
        "%s{0}.png",
        "[x].png",
        "\u00fc.png",
        "-d.png",
        "l\u2028.png",
    ],
)
def test_odd_but_legal_names(tmp_path: Path, format: str, name: str) -> None:
    records = _dataset(tmp_path, format, SOUND, Sample(name, [("cat", 1, 1, 5, 5)]))()
    _assert_sound(records)
    place = records.files.tolist().index(name)
    assert records.rows(place).boxes.tolist() == [[1, 1, 5, 5]]
    assert records.load(place).shape == (HEIGHT, WIDTH, 3)
    assert records.fault_counts() == {}


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_in_the_other_unicode_form(
    tmp_path: Path, format: str, on_disk: Literal["NFC", "NFD"]
) -> None:
    """macOS and its archives write an accent as a sign of its own; most labels do not."""
    stem = "caf\u00e9"
    written = unicodedata.normalize("NFD" if on_disk == "NFC" else "NFC", stem)
    read = _dataset(tmp_path, format, SOUND, Sample(f"{written}.png", [("cat", 1, 1, 5, 5)]))
    (tmp_path / f"{written}.png").rename(tmp_path / f"{unicodedata.normalize(on_disk, stem)}.png")
    records = read()
    assert sorted(len(records.rows(place).boxes) for place in (0, 1)) == [1, 2]
    assert records.fault_counts() == {}


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "csv"])
def test_a_picture_whose_name_is_no_text_is_left_out(tmp_path: Path, format: str) -> None:
    """Neither a list, nor a report, nor a CSV file could name it."""
    name = os.fsdecode(b"caf\xe9.png")
    records = _dataset(tmp_path, format, SOUND, Sample(name, [("cat", 1, 1, 5, 5)]))()
    assert records.files.tolist() == ["a.png"]
    (fault,) = records.faults
    f"{fault.where}: {fault.message}".encode()
    assert fault.kind == "unreadable_picture"


def test_unknown_class(tmp_path: Path, format: str) -> None:
    read = _dataset(tmp_path, format, SOUND, Sample("b.png", [("zebra", 1, 1, 5, 5), ("dog", 1, 1, 6, 6)]))
    records = read(classes=["dog", "cat"])
    _assert_sound(records)
    assert records.classes.names == ("dog", "cat")
    assert records.rows(1).labels.tolist() == [0]
    assert records.fault_counts() == {"unknown_class": 1}
    assert "zebra" in records.faults[0].message


def test_wanted_class_without_boxes_has_an_id_of_its_own(tmp_path: Path, format: str) -> None:
    classes = _dataset(tmp_path, format, SOUND)(classes=["yak", "dog", "cat"]).classes
    assert classes.names == ("yak", "dog", "cat")
    assert len(set(classes.ids)) == 3


def test_nothing_usable_is_one_clear_line(tmp_path: Path, format: str) -> None:
    read = _dataset(tmp_path, format, Sample("a.png", [("cat", 5, 5, 4, 9)]))
    with pytest.raises(DataError, match=r"no usable box.*1 zero_size") as caught:
        read()
    assert "\n" not in str(caught.value)
    read = _dataset(tmp_path, format, Sample("a.png", [("cat", 5, 5, 9, 9)], b"broken"))
    with pytest.raises(DataError, match=r"no picture.*1 unreadable_picture"):
        read(classes=["cat"])
