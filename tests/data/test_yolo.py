"""YOLO txt: a real export, every way a data.yaml and a row can be wrong, and nothing outside the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from foveal.config.data_settings import YoloSource
from foveal.data.records import Records, class_counts
from foveal.data.yolo import read_yolo
from foveal.data.yolo_yaml import read_data_yaml
from foveal.errors import DataError
from foveal.types import ClassNames

HEIGHT, WIDTH = 40, 80
ROW = "1 0.25 0.5 0.125 0.25"
BOX = [15.0, 15.0, 25.0, 25.0]
"""ROW in pixels: centre (20, 20), 10 wide and 10 high."""


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, format="PNG")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``data.yaml`` with one picture in ``train``, in a folder that has something beside it."""
    root = tmp_path / "set"
    _picture(root / "train" / "images" / "a.jpg")
    _write(root / "train" / "labels" / "a.txt", f"{ROW}\n")
    _write(root / "data.yaml", "train: train/images\nnc: 2\nnames: [cat, dog]\n")
    return root


def _read(folder: Path, text: str | None = None) -> Records:
    if text is not None:
        (folder / "train" / "labels" / "a.txt").write_text(text)
    return read_yolo(folder / "data.yaml", part="train")


# ---------------------------------------------------------------- a real export


def test_road_signs(shared: Path) -> None:
    signs = shared / "data" / "road_signs_yolo"
    counts = {"train": (128, 179, 2), "val": (128, 153, 5), "test": (128, 134, 3)}
    found = {}
    for part, expected in counts.items():
        records = read_yolo(signs / "data.yaml", part=part, strict=True)
        assert (len(records), len(records.boxes), len(records.classes.names)) == expected
        assert records.fault_counts() == {"moved_path": 1}
        assert str(signs / ("valid" if part == "val" else part) / "images") in records.faults[0].message
        found[part] = dict(zip(records.classes.names, class_counts(records).tolist(), strict=True))
        assert set(records.heights.tolist()) == set(records.widths.tolist()) == {640}
    assert found == {
        "train": {"green_light": 120, "yellow_light": 59},
        "val": {
            "do_not_turn_l": 11, "do_not_turn_r": 31, "green_light": 47, "red_light": 35, "yellow_light": 29,
        },
        "test": {"bus_stop": 54, "left_right_lane": 9, "parking": 71},
    }  # fmt: skip


def test_road_signs_suggested_split(shared: Path) -> None:
    signs = shared / "data" / "road_signs_yolo"
    files: list[str] = []
    boxes = 0
    for part, pictures in (("train", 252), ("val", 62), ("test", 70)):
        records = read_yolo(signs / "data.yaml", split=signs / "suggested_split" / f"{part}.txt", strict=True)
        assert len(records) == pictures
        assert records.classes.ids == (0, 3, 4, 7, 8, 10, 14, 20)
        assert records.fault_counts() == {}
        files += records.files.tolist()
        boxes += len(records.boxes)
    assert (len(set(files)), boxes) == (384, 466)


# ---------------------------------------------------------------- data.yaml


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("train: train/images", False),
        ("train: ./train/images/", False),
        ("train: train", False),
        ("path: .\ntrain: train/images", False),
        ("train: [train/images]", False),
        ("train: ../train/images", True),
        ("train: ../../set/train/images", True),
        ("train: /home/someone/set/train/images", True),
        ("train: C:\\data\\set\\train\\images", True),
        ("path: /datasets/set\ntrain: train/images", True),
        ("path: set\ntrain: train/images", True),
        ("train: images/train", True),
    ],
)
def test_where_a_part_is(folder: Path, written: str, moved: bool) -> None:
    (folder / "data.yaml").write_text(f"{written}\nnames: [cat, dog]\n")
    records = _read(folder)
    assert records.files.tolist() == ["train/images/a.jpg"]
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == ({"moved_path": 1} if moved else {})
    if moved:
        line = 1 + written.count("\n")
        assert records.faults[0].where == f"{folder / 'data.yaml'}:{line}"
        assert str(folder / "train" / "images") in records.faults[0].message


def test_two_folders_and_a_list(folder: Path) -> None:
    _picture(folder / "more" / "images" / "b.png")
    _picture(folder / "c.png")
    _write(folder / "more.txt", "c.png\n")
    (folder / "data.yaml").write_text("train: [train/images, more/images, more.txt]\nnames: [cat, dog]\n")
    assert _read(folder).files.tolist() == ["train/images/a.jpg", "more/images/b.png", "c.png"]


@pytest.mark.parametrize(
    ("names", "found", "faults"),
    [
        ("names: [cat, dog]", ("dog", 1), {}),
        ("names: {0: cat, 1: dog, 7: yak}", ("dog", 1), {}),
        ("names:\n  '1': dog", ("dog", 1), {}),
        ("names: [yes, no]", ("no", 1), {}),
        ("names: [a, null]", ("class 1", 1), {"class_list": 1}),
        ("nc: 2", ("class 1", 1), {"class_list": 1}),
        ("nc: 3\nnames: [cat, dog]", ("dog", 1), {"class_list": 1}),
        ("names: [dog, dog]", ("dog", 0), {"duplicate_id": 1}),
    ],
)
def test_names(folder: Path, names: str, found: tuple[str, int], faults: dict[str, int]) -> None:
    (folder / "data.yaml").write_text(f"train: train/images\n{names}\n")
    records = _read(folder)
    assert (records.classes.names, records.classes.ids) == ((found[0],), (found[1],))
    assert records.fault_counts() == faults


def test_wanted_classes_keep_the_files_ids(folder: Path) -> None:
    records = read_yolo(folder / "data.yaml", part="train", classes=["yak", "dog", "cat"])
    assert records.classes == (("yak", "dog", "cat"), (2, 1, 0))
    assert records.labels.tolist() == [1]


@pytest.mark.parametrize("form", ["list", "ids"])
def test_as_many_names_as_any_set_has(folder: Path, form: str) -> None:
    """13,204 as in V3Det, the largest; a YAML file of many more is none."""

    def write(number: int) -> None:
        lines = (
            f"  {i}: class of things {i}" if form == "ids" else f"- class of things {i}"
            for i in range(number)
        )
        (folder / "data.yaml").write_text("\n".join(["train: train/images", "names:", *lines]))

    write(13_204)
    assert len(read_data_yaml(folder / "data.yaml").names) == 13_204
    write(25_000 if form == "ids" else 41_000)
    with pytest.raises(DataError, match=r"data\.yaml(:\d+: more than 30100 values|: over the limit of)"):
        read_data_yaml(folder / "data.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no keys"),
        ("[1, 2]", "holds no keys"),
        ("train: train/images\nnames: [a\n", r"data\.yaml:3: not YAML"),
        ("train: train/images\nnames: cat, dog\n", r"data\.yaml:2: names: needed is a list"),
        ("train: train/images\nnames: {x: cat}\n", "'x' is no class id"),
        ("train: train/images\nnames: [[a]]\n", "no name that is one text"),
        ("train: {a: b}\nnames: [a]\n", "needed is a folder"),
        ("train: gone/images\nnames: [a]\n", r"data\.yaml:1: train: 'gone/images' was not found; looked for"),
        ("val: train/images\nnames: [a]\n", "no part 'train'; it has val"),
        ("train: a\ntrain: b\nnames: [a]\n", r"data\.yaml:2: key 'train' stands twice"),
        ("a: " + "[" * 2000, "nested deeper than 32"),
        ("names: !!python/object/apply:os.system [ls]\ntrain: gone", "was not found"),
        ("\x00", "not YAML"),
    ],
)
def test_broken_data_yaml(folder: Path, text: str, message: str) -> None:
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        _read(folder)
    assert str(folder / "data.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_with_several_parts_needs_one(folder: Path) -> None:
    assert len(read_yolo(folder / "data.yaml")) == 1
    (folder / "data.yaml").write_text("train: train/images\nval: train/images\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match="which part"):
        read_yolo(folder / "data.yaml")


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{ROW}\r\n\r\n",
        f"# made by hand\n{ROW}  # the dog\n",
        "1.0 2.5e-1 .5 0.125 0.25",
        f"\t{ROW} \n\n",
    ],
)
def test_spellings_of_a_row(folder: Path, text: str) -> None:
    records = _read(folder, text)
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {}


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("1 0.5 0.5 0.1", "bad_number", "3 numbers after the class"),
        ("1 0.5 0.5 0.1 0.1 0.9", "bad_number", "5 are what a detector writes, its confidence last"),
        ("1", "bad_number", "0 numbers"),
        ("dog 0.5 0.5 0.1 0.1", "bad_number", "'dog' is no class number"),
        ("1,0.5,0.5,0.1,0.1", "bad_number", "not by commas"),
        ("1.5 0.5 0.5 0.1 0.1", "bad_number", "no class number"),
        ("1e300 0.5 0.5 0.1 0.1", "bad_number", "no class number"),
        ("1_0 0.5 0.5 0.1 0.1", "bad_number", "no class number"),
        ("0 0_5 0.5 0.1 0.1", "bad_number", "'0_5' is no number: dropped"),
        ("0 0,5 0,5 0,1 0,1", "bad_number", "numbers have a point"),
        ("1 x 0.5 0.1 0.1", "bad_number", "'x'"),
        ("1 nan 0.5 0.1 0.1", "bad_number", "not finite"),
        ("1 0.5 0.5 1e999 0.1", "bad_number", "not finite"),
        ("1 0.5 0.5 0 0.1", "zero_size", "no width"),
        ("1 0.5 0.5 -0.1 0.1", "zero_size", "no width"),
        ("1 1.5 0.5 0.1 0.1", "outside", "outside 80 x 40"),
        ("2 0.5 0.5 0.1 0.1", "unknown_class", "no class 2; the names go from 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "unknown_class", "no class -1"),
        (ROW, "duplicate_box", "the same box as in line 1"),
        ("1 20 10 50 30", "bad_number", "fit as x1 y1 x2 y2 or as x y width height"),
        ("1 60 20 30 30", "bad_number", "in pixels of 80 x 40 they fit as cx cy width height"),
        ("1 300 200 5000 3000", "bad_number", "fit as nothing"),
    ],
)
def test_bad_row_is_dropped_and_counted_with_its_line(
    folder: Path, row: str, kind: str, message: str
) -> None:
    records = _read(folder, f"{ROW}\n{row}\n")
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {kind: 1}
    assert records.faults[0].where == f"{folder / 'train' / 'labels' / 'a.txt'}:2"
    assert message in records.faults[0].message


def test_an_outline_is_the_box_around_it(folder: Path) -> None:
    records = _read(folder, "1 0.25 0.125 0.5 0.25 0.375 0.75\n")
    assert records.boxes.tolist() == [[20, 5, 40, 30]]
    assert records.fault_counts() == {"polygon": 1}


def test_poses_keep_their_box(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: train/images\nkpt_shape: [2, 2]\nnames: [cat, dog]\n")
    records = _read(folder, f"{ROW} 0.9 0.9 0.8 0.8\n")
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {}


def test_shares_are_of_the_upright_picture(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "train" / "images" / "a.jpg", exif=exif)
    records = _read(folder, "1 0.5 0.25 0.5 0.5\n")
    assert (records.heights[0], records.widths[0]) == (WIDTH, HEIGHT)
    assert records.boxes.tolist() == [[10, 0, 30, 40]]


# ---------------------------------------------------------------- pictures and their labels


def test_missing_empty_and_orphan_labels(folder: Path) -> None:
    for name in ("b", "c"):
        _picture(folder / "train" / "images" / f"{name}.png")
    _write(folder / "train" / "labels" / "c.txt", "\n# nothing\n")
    _write(folder / "train" / "labels" / "gone.txt", f"{ROW}\n")
    _write(folder / "train" / "labels" / "classes.txt", "cat\ndog\n")
    records = _read(folder)
    assert records.offsets.tolist() == [0, 1, 1, 1]
    assert records.fault_counts() == {"no_label_file": 1, "empty_labels": 1, "orphan_label": 1}
    assert next(f.where for f in records.faults if f.kind == "orphan_label").endswith("gone.txt")


@pytest.mark.parametrize("content", [b"\xff\x00\xfe", b"\x80abc", b" " * 5_000_001, b"1 0.5\x00 1"])
def test_unreadable_label_file_leaves_its_picture_out(folder: Path, content: bytes) -> None:
    _picture(folder / "train" / "images" / "b.png")
    (folder / "train" / "labels" / "b.txt").write_bytes(content)
    records = _read(folder)
    assert len(records) == 1
    assert records.fault_counts() == {"unreadable_labels": 1}
    assert "b.txt" in records.faults[0].message
    with pytest.raises(DataError, match=r"b\.txt"):
        read_yolo(folder / "data.yaml", part="train", strict=True)


def test_labels_of_a_name_with_dots(folder: Path) -> None:
    _picture(folder / "train" / "images" / "b_jpg.rf.12.jpg")
    _write(folder / "train" / "labels" / "b_jpg.rf.12.txt", "0 0.5 0.5 0.5 0.5\n")
    assert len(_read(folder).boxes) == 2


def test_folders_without_a_data_yaml(folder: Path) -> None:
    (folder / "data.yaml").unlink()
    labels = folder / "train" / "labels"
    records = read_yolo(labels)
    assert records.classes == (("class 1",), (1,))
    assert records.fault_counts() == {"class_list": 1}
    _write(folder / "classes.txt", "cat\r\ndog\r\n\r\n")
    records = read_yolo(labels)
    assert records.classes == (("dog",), (1,))
    assert records.fault_counts() == {}
    _picture(folder / "flat" / "x.png")
    _write(folder / "flat" / "x.txt", ROW)
    _write(folder / "flat" / "obj.names", "cat\ncow\n")
    assert read_yolo(folder / "flat").classes.names == ("cow",)
    with pytest.raises(DataError, match=r"needs a data\.yaml"):
        read_yolo(labels, part="train")


@pytest.mark.parametrize("yaml", [True, False])
def test_names_of_the_settings_count(folder: Path, yaml: bool) -> None:
    """In place of those of the data.yaml, and of the faults that it has in them."""
    (folder / "data.yaml").write_text("train: train/images\nnc: 7\nnames: [cat, dog]\n")
    labels = folder / "data.yaml" if yaml else folder / "train" / "labels"
    for names in ({0: "red", 1: "green"}, {1: "green"}):
        records = read_yolo(labels, names=names)
        assert records.classes == ClassNames(("green",), (1,))
        assert records.fault_counts() == {}


def test_names_as_they_are_written() -> None:
    def names(written: object) -> dict[int, str] | None:
        values = {"format": "yolo", "annotations": "labels", "names": written}
        source = YoloSource.model_validate(values)
        assert YoloSource.model_validate(source.model_dump(mode="json")) == source
        return source.class_names()

    assert names(["a b", " "]) == {0: "a b", 1: "class 1"}
    assert names({"7": "b", "0": " a"}) == {0: "a", 7: "b"}
    assert names(None) is None
    for bad in ([], {}, {"-1": "a"}, {"x": "a"}, [1], "names.txt"):
        with pytest.raises(ValidationError):
            names(bad)


def test_split_lists(folder: Path) -> None:
    for name in ("b", "c"):
        _picture(folder / "train" / "images" / f"{name}.jpg")
        _write(folder / "train" / "labels" / f"{name}.txt", ROW)
    split = _write(
        folder / "lists" / "mine.txt",
        "\ufefftrain/images/c.jpg\r\n\r\n./../train/images/b.jpg\r\n/home/x/set/train/images/a.jpg\r\n"
        "train/images/c.jpg\r\ngone.jpg\r\n",
    )
    records = read_yolo(folder / "data.yaml", split=split)
    assert [Path(file).name for file in records.files] == ["c.jpg", "b.jpg", "a.jpg"]
    assert len(records.boxes) == 3
    assert records.fault_counts() == {"moved_path": 1, "duplicate_id": 1, "missing_picture": 1}
    assert next(f.where for f in records.faults if f.kind == "missing_picture") == f"{split}:6"


# ---------------------------------------------------------------- nothing outside the root


@pytest.mark.parametrize(
    "written",
    [
        "train: ../secret",
        "train: /secret",
        "path: ..\ntrain: secret",
        "path: ../secret\ntrain: .",
        "train: [../secret]",
        "train: ../secret/list.txt",
        "train: link",
    ],
)
def test_a_part_outside_is_not_read(folder: Path, tmp_path: Path, written: str) -> None:
    _picture(tmp_path / "secret" / "s.png")
    _write(tmp_path / "secret" / "s.txt", ROW)
    _write(tmp_path / "secret" / "list.txt", "s.png\n")
    (folder / "link").symlink_to(tmp_path / "secret")
    folder.joinpath("data.yaml").write_text(f"{written}\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"data\.yaml:\d: train: .* was not found"):
        _read(folder)


def test_pictures_and_labels_outside_are_not_read(folder: Path, tmp_path: Path) -> None:
    _picture(tmp_path / "secret.png")
    secret = _write(tmp_path / "secret.txt", "0 0.5 0.5 0.5 0.5\n")
    (folder / "train" / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    _picture(folder / "train" / "images" / "b.png")
    (folder / "train" / "labels" / "b.txt").symlink_to(secret)
    records = _read(folder)
    assert records.files.tolist() == ["train/images/a.jpg"]
    assert records.fault_counts() == {"unsafe_path": 2}
    assert all(
        "it is a link: a copy (cp -L) or a hard link (ln) is read" in f.message for f in records.faults
    )
    lines = ["../../secret.png", str(tmp_path / "secret.png"), "train/images/../../../secret.png", "a\0b"]
    split = _write(folder / "split.txt", "\n".join([*lines, "train/images/a.jpg"]))
    records = read_yolo(folder / "data.yaml", split=split)
    assert records.files.tolist() == ["train/images/a.jpg"]
    assert records.fault_counts() == {"unsafe_path": 4}


def test_a_list_of_classes_outside_is_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / "data.yaml").unlink()
    secret = _write(tmp_path / "secret.txt", "secret\nsecret\n")
    (folder / "train" / "labels" / "classes.txt").symlink_to(secret)
    records = read_yolo(folder / "train" / "labels")
    assert records.classes.names == ("class 1",)
    assert records.fault_counts()["unsafe_path"] == 1
    assert records.faults[0].where.endswith("labels/classes.txt")


@pytest.mark.parametrize("linked", ["images", "labels"])
def test_a_named_folder_may_be_a_link(tmp_path: Path, linked: str) -> None:
    """A person's own word; what its files link to is not."""
    _picture(tmp_path / "set" / "images" / "a.jpg")
    _write(tmp_path / "set" / "labels" / "a.txt", ROW)
    _write(tmp_path / "set" / "classes.txt", "cat\ndog\n")
    (tmp_path / "set" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "set" / linked).symlink_to(tmp_path / "elsewhere")
    records = read_yolo(tmp_path / "set" / "labels", tmp_path / "set" / "images")
    assert (records.classes.names, records.boxes.tolist()) == (("dog",), [BOX])
    if linked == "images":
        with pytest.raises(DataError, match="no picture to work with"):
            read_yolo(tmp_path / "set" / "labels")


def test_a_pipe_in_the_place_of_labels_does_not_block(folder: Path) -> None:
    _picture(folder / "train" / "images" / "b.png")
    os.mkfifo(folder / "train" / "labels" / "b.txt")
    assert _read(folder).fault_counts() == {"unreadable_labels": 1}


def test_links_to_folders(folder: Path, tmp_path: Path) -> None:
    """Inside the root they are followed, once and without end; what lies outside is counted."""
    _picture(folder / "store" / "b.jpg")
    _write(folder / "train" / "labels" / "sub" / "b.txt", ROW)
    (folder / "store" / "loop").symlink_to(folder / "store")
    for name, target in (("sub", "store"), ("twice", "store"), ("up", "."), ("self", "train/images")):
        (folder / "train" / "images" / name).symlink_to(folder / target)
    _picture(tmp_path / "secret" / "s.jpg")
    (folder / "train" / "images" / "out").symlink_to(tmp_path / "secret")
    records = _read(folder)
    assert records.files.tolist() == ["train/images/a.jpg", "train/images/sub/b.jpg"]
    assert records.boxes.tolist() == [BOX, BOX]
    assert records.fault_counts() == {"unsafe_path": 1}
    assert records.faults[0].where == str(folder / "train" / "images" / "out")


# ---------------------------------------------------------------- names


def test_label_files_in_capitals(folder: Path) -> None:
    (folder / "train" / "labels" / "a.txt").rename(folder / "train" / "labels" / "a.TXT")
    _write(folder / "train" / "labels" / "gone.TXT", ROW)
    records = _read(folder)
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {"orphan_label": 1}


def test_a_label_file_for_two_pictures_is_counted(folder: Path) -> None:
    _picture(folder / "train" / "images" / "a.png")
    records = _read(folder)
    assert records.boxes.tolist() == [BOX, BOX]
    assert records.fault_counts() == {"duplicate_id": 1}
    assert "train/images/a.jpg" in records.faults[0].message


def test_class_lists_part_at_line_ends_alone(folder: Path) -> None:
    _write(folder / "train" / "labels" / "classes.txt", "cat\u2028\ndog\x85one\n")
    records = read_yolo(folder / "train" / "labels", folder / "train" / "images")
    assert records.classes == (("dog\x85one",), (1,))
    _write(folder / "train" / "labels" / "classes.txt", "")
    records = read_yolo(folder / "train" / "labels", folder / "train" / "images")
    assert records.classes == (("class 1",), (1,))


# ---------------------------------------------------------------- damage


_BITS = [
    b"-",
    b"9999",
    b"nan",
    b"\n",
    b" ",
    b"\xff",
    b"\0",
    b"#",
    b"..",
    b"/",
    b"[",
    b"{",
    b": ",
    b"&a",
    b"*a",
    b"'",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), damaged=st.sampled_from(["data.yaml", "train/labels/a.txt", "list.txt"]))
def test_damaged_files_give_records_or_one_line(folder: Path, data: st.DataObject, damaged: str) -> None:
    sound = {
        "data.yaml": b"train: [train/images, list.txt]\nnc: 2\nnames: [cat, dog]\n",
        "train/labels/a.txt": f"{ROW}\n0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.4 0.2 0.3 0.9\n".encode(),
        "list.txt": b"train/images/a.jpg\n./train/images/a.jpg\n",
    }
    content = bytearray(sound[damaged])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        inserted = data.draw(st.binary(max_size=3) | st.sampled_from(_BITS))
        content[place : place + data.draw(st.integers(0, 4))] = inserted or b" "
    for name, text in {**sound, damaged: bytes(content)}.items():
        (folder / name).write_bytes(text)
    refusal = ""
    try:
        records = _read(folder)
    except DataError as error:
        refusal = str(error)
    if refusal:
        assert str(folder) in refusal
        assert len(refusal.splitlines()) == 1
        return
    assert (records.boxes[:, 2:] > records.boxes[:, :2]).all()
    assert records.boxes.min() >= 0
    assert (records.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    assert set(records.labels.tolist()) == set(range(len(records.classes.names)))
    assert all(str(folder) in fault.where for fault in records.faults)
