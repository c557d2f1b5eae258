"""What other programs read of a journal, against the rows themselves; and the journal after a kill."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveal.data.coco_json import load_coco
from foveal.data.csv_table import read_csv
from foveal.errors import DiskError, UsageError
from foveal.runtime.detections import Detections
from foveal.runtime.formats import COLUMNS, FORMATS, check_formats
from foveal.runtime.journal import Journal, detections_of, error_row, picture_row, read_journal
from foveal.runtime.prediction_folder import PredictionFolder
from foveal.types import ClassNames

CLASSES = ClassNames(("cat", "=dog"), (7, 3))
SETTINGS = {"model": "abc", "thresholds": {"cat": 0.5, "=dog": 0.4}, "tiles": None}


def found(*labels: int, height: int = 80, width: int = 100) -> Detections:
    generator = torch.Generator().manual_seed(len(labels))
    low = torch.rand(len(labels), 2, generator=generator) * 40
    boxes = torch.cat([low, low + 1 + torch.rand(len(labels), 2, generator=generator) * 39], dim=1)
    scores = torch.rand(len(labels), generator=generator).sort(descending=True).values
    names = tuple(CLASSES.names[label] for label in labels)
    return Detections(boxes, scores, torch.tensor(labels, dtype=torch.int64), names, height, width)


def folder_with(path: Path, **pictures: Detections | str) -> PredictionFolder:
    with PredictionFolder(path / "out", SETTINGS) as folder:
        folder.todo(list(pictures))
        for name, result in pictures.items():
            folder.add(error_row(name, result) if isinstance(result, str) else picture_row(name, result))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> PredictionFolder:
    pictures = {
        "x/a.png": found(0, 1),
        "bad.png": "bad.png: broken",
        "y/a.png": found(),
        "+c.jpg": found(1, 0, 0),
    }
    return folder_with(tmp_path, **pictures)


def test_rows_come_back_to_the_last_bit(folder: PredictionFolder) -> None:
    rows = list(folder.rows())
    assert [row["status"] for row in rows] == ["ok", "error", "ok", "ok"]
    for row, expected in zip([rows[0], *rows[2:]], (found(0, 1), found(), found(1, 0, 0)), strict=True):
        back = detections_of(row)
        assert torch.equal(back.boxes, expected.boxes)
        assert torch.equal(back.scores, expected.scores)
        assert (back.names, back.height, back.width) == (expected.names, 80, 100)


def test_two_addresses_that_look_the_same_are_refused(tmp_path: Path) -> None:
    """One of the two pictures would be left out without a word."""
    with PredictionFolder(tmp_path / "out", SETTINGS) as folder:
        with pytest.raises(
            UsageError, match=r"key=\*\*\*: two addresses that differ in what is hidden alone"
        ):
            folder.todo(["https://a.host/get?key=a.jpg", "https://a.host/get?key=b.jpg"])
        assert len(folder.todo(["https://a.host/a.jpg?sig=1", "https://a.host/b.jpg?sig=2"])) == 2


def test_coco(folder: PredictionFolder) -> None:
    folder.finish(["coco"], CLASSES)
    content = json.loads((folder.path / "detections.json").read_text())
    assert content["info"] == {"thresholds": SETTINGS["thresholds"]}
    assert content["categories"] == [{"id": 7, "name": "cat"}, {"id": 3, "name": "=dog"}]
    assert [image["file_name"] for image in content["images"]] == ["x/a.png", "y/a.png", "+c.jpg"]
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    expected = [*found(0, 1).to_coco(1, CLASSES.ids), *found(1, 0, 0).to_coco(3, CLASSES.ids)]
    assert content["annotations"] == [
        {"id": number, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], **row}
        for number, row in enumerate(expected, start=1)
    ]
    assert load_coco(folder.path / "detections.json")  # what reads labels reads this


def test_csv_and_formulas(folder: PredictionFolder) -> None:
    """S13: what begins with = + - @ is text to a spreadsheet; numbers stay numbers."""
    folder.finish(["csv"], CLASSES)
    with (folder.path / "detections.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [row[:2] for row in rows[1:]] == [
        ["x/a.png", "cat"], ["x/a.png", "'=dog"], ["'+c.jpg", "'=dog"], ["'+c.jpg", "cat"], ["'+c.jpg", "cat"],
    ]  # fmt: skip
    assert [float(row[2]) for row in rows[1:3]] == found(0, 1).scores.tolist()
    assert [[float(side) for side in row[3:7]] for row in rows[1:3]] == found(0, 1).boxes.tolist()
    assert rows[1][7:] == ["0", "100", "80"]


@pytest.mark.parametrize(
    "name", ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "\ra.png", "\uff1d1+1.png", "\uff20a.png"]
)
def test_names_that_a_spreadsheet_would_run(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, **{name: found(0)})
    folder.finish(["csv"], CLASSES)
    with (folder.path / "detections.csv").open(newline="") as stream:
        assert list(csv.reader(stream))[1][0] == "'" + name.replace("\t", "\\t").replace("\r", "\\r")


def test_the_table_reads_as_labels_of_the_same_names(tmp_path: Path) -> None:
    """S13: quoted against spreadsheets, and the same pictures and classes when it is read back."""
    names = [
        "=1+1.png",
        "+a.png",
        "-a.png",
        "@a.png",
        "'=a.png",
        "\ta.png",
        "\\ta.png",
        "\ra.png",
        "\uff1da.png",
    ]
    classes = ClassNames(("=dog", "'=dog", "-cat", "plain"), (0, 1, 2, 3))
    (tmp_path / "pictures").mkdir()
    for name in names:
        Image.new("RGB", (100, 80)).save(tmp_path / "pictures" / name, "PNG")
    four = found(0, 1, 0, 1)
    result = Detections(four.boxes, four.scores, torch.arange(4), classes.names, 80, 100)
    folder = folder_with(tmp_path, **dict.fromkeys(names, result))
    folder.finish(["csv"], classes)
    records = read_csv(folder.path / "detections.csv", tmp_path / "pictures")
    assert records.files.tolist() == names
    assert records.fault_counts() == {}
    assert records.classes.names == tuple(sorted(classes.names))
    for number in range(len(names)):
        back = [records.classes.names[label] for label in records.rows(number).labels]
        assert back == list(classes.names)


def test_yolo(folder: PredictionFolder) -> None:
    folder.finish(["yolo"], CLASSES)
    labels = folder.path / "labels"
    assert sorted(path.name for path in labels.iterdir()) == ["+c.txt", "classes.txt", "x_a.txt", "y_a.txt"]
    assert (labels / "classes.txt").read_text() == "cat\n=dog\n"
    assert (labels / "y_a.txt").read_text() == ""
    rows = [line.split() for line in (labels / "+c.txt").read_text().splitlines()]
    assert [int(row[0]) for row in rows] == [1, 0, 0]
    for row, (box, score, *_) in zip(rows, found(1, 0, 0), strict=True):
        x, y, width, height, confidence = map(float, row[1:])
        assert confidence == pytest.approx(score, abs=1e-6)
        sides = [(x - width / 2) * 100, (y - height / 2) * 80, (x + width / 2) * 100, (y + height / 2) * 80]
        assert sides == pytest.approx(list(box), abs=2e-4)


def test_parquet(folder: PredictionFolder) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder.finish(["parquet"], CLASSES)
    rows = parquet.read_table(folder.path / "detections.parquet").to_pylist()
    assert [row["file"] for row in rows] == ["x/a.png", "bad.png", "y/a.png", "+c.jpg"]
    assert [row["error"] for row in rows] == [None, "bad.png: broken", None, None]
    assert rows[3]["boxes"] == found(1, 0, 0).boxes.tolist()
    assert rows[3]["scores"] == found(1, 0, 0).scores.tolist()
    assert rows[3]["names"] == ["=dog", "cat", "cat"]
    assert (rows[2]["boxes"], rows[2]["height"]) == ([], 80)


def test_every_format_over_nothing_found(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, **{"a.png": found()})
    folder.finish([name for name in FORMATS if name != "parquet"], CLASSES)
    content = json.loads((folder.path / "detections.json").read_text())
    assert (len(content["images"]), content["annotations"]) == (1, [])


def test_which_formats() -> None:
    assert check_formats(["coco, csv", "yolo", "csv"]) == ("coco", "csv", "yolo")
    assert check_formats([""]) == ()
    with pytest.raises(UsageError, match="format 'xml' is not known; use coco, csv, jsonl, yolo, parquet"):
        check_formats(["xml"])


def test_names_that_would_meet(tmp_path: Path) -> None:
    files = ["x/a.png", "x/a.jpg", "y/A.png", "detections.png", "s3://b/a.png?version=2", "classes.png"]
    with PredictionFolder(tmp_path / "out", SETTINGS) as folder:
        assert folder.todo(files) == files
    names = [folder.name(file) for file in files]
    assert len({name.casefold() for name in names}) == len(names)
    assert not {"detections", "classes", "settings"} & set(names)
    assert names[:2] == ["x_a", "x_a-2"]


# ---------------------------------------------------------------- going on


def test_a_line_that_was_cut_off_and_errors_are_done_again(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, **{"a.png": found(0), "bad.png": "broken", "c.png": found(1)})
    journal = folder.path / "detections.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(
        b"\0\0\n{}\n" + whole[:-20]
    )  # killed while it wrote the last line; a crash of the disk
    assert [row["file"] for row in read_journal(journal)] == ["a.png", "bad.png"]
    with PredictionFolder(tmp_path / "out", SETTINGS, resume=True) as again:
        assert again.todo(["a.png", "bad.png", "c.png", "d.png"]) == ["bad.png", "c.png", "d.png"]
        again.add(picture_row("c.png", found(1)))
    assert [row["file"] for row in again.rows()] == ["a.png", "c.png"]


def test_a_picture_that_was_changed_is_done_again(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("same.png", "changed.png", "gone.png")]
    for path in paths:
        path.write_bytes(b"1")
    folder = folder_with(tmp_path, **{str(path): found(0) for path in paths})
    paths[1].write_bytes(b"2")
    os.utime(paths[1], (5, 5))
    paths[2].unlink()
    with PredictionFolder(folder.path, SETTINGS, resume=True) as again:
        assert again.todo(str(path) for path in paths) == [str(paths[1])]
        again.add(picture_row(str(paths[1]), found(1)))
    assert sorted(row["file"] for row in again.rows()) == sorted(map(str, paths))


def test_two_that_write_at_once_do_not_meet(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="this system does not lock folders")
    with PredictionFolder(tmp_path / "out", SETTINGS) as one:
        with PredictionFolder(tmp_path / "out", SETTINGS) as other:
            assert (one.path.name, other.path.name) == ("out", "out-2")
        with pytest.raises(UsageError, match="out: another foveal predict is writing there; wait for it"):
            PredictionFolder(tmp_path / "out", SETTINGS, resume=True)
        one.add(picture_row("a.png", found(0)))
    with PredictionFolder(tmp_path / "out", SETTINGS, resume=True) as again:
        assert again.todo(["a.png", "b.png"]) == ["b.png"]


def test_an_empty_folder_is_used_and_one_without_rows_not_left(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    folder = folder_with(tmp_path / "mine", **{"a.png": found(0)})
    assert folder.path == tmp_path / "mine" / "out"
    (tmp_path / "empty").mkdir()
    with PredictionFolder(tmp_path / "empty", SETTINGS) as folder:
        assert folder.path == tmp_path / "empty"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DiskError, match=r"file/out: cannot be made"):
        PredictionFolder(tmp_path / "file" / "out", SETTINGS)


def test_names_that_a_disk_or_an_encoding_cannot_hold(tmp_path: Path) -> None:
    """255 bytes are 85 letters of Korean; a name that is no UTF-8 comes out spelled."""
    parquet = pytest.importorskip("pyarrow.parquet")
    long, odd = "\uac00" * 80, os.fsdecode(b"caf\xe9.png")
    folder = folder_with(tmp_path, **{f"{long}/a.png": found(0), f"b/{long}.png": found(), odd: found(1)})
    folder.finish(["yolo", "csv", "coco", "parquet"], CLASSES)
    rows = parquet.read_table(folder.path / "detections.parquet").to_pylist()
    assert rows[2]["file"] == "caf\\udce9.png"
    assert [row["file"] for row in folder.rows()][2] == odd
    names = sorted(path.stem for path in (folder.path / "labels").iterdir())
    assert names[0] == "a"
    assert len(names) == 4
    with PredictionFolder(tmp_path / "other", SETTINGS) as folder:
        pair = [f"{long}/{long}.png", f"x/{long}.png"]
        folder.todo(pair)
        for file in pair:
            (folder.path / f".{folder.name(file)}-10.txt.part").write_text("fits")
            (folder.path / f".{folder.name(file)}-10.txt.part").unlink()


def test_a_folder_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, **{"a.png": found(0)})
    with pytest.raises(UsageError, match="was made with model abc, not def; give the same"):
        PredictionFolder(folder.path, {**SETTINGS, "model": "def"}, resume=True)
    with pytest.raises(UsageError, match="was made with thresholds"):
        PredictionFolder(folder.path, {**SETTINGS, "thresholds": {"cat": 0.1, "=dog": 0.4}}, resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not a folder that foveal predict can go on with"):
        PredictionFolder(tmp_path / "mine", SETTINGS, resume=True)
    with PredictionFolder(tmp_path / "new", SETTINGS, resume=True) as new:
        assert new.todo(["a"]) == ["a"]


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DiskError, match=r"file/j\.jsonl: cannot be written"):
        Journal(tmp_path / "file" / "j.jsonl").add(error_row("a", "b"))
