"""Pascal VOC XML: real folders, corners, pairing of pictures and labels, and every way a file can be wrong."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveal.data.coco import read_coco
from foveal.data.flags import Flags
from foveal.data.records import Records, class_counts
from foveal.data.voc import read_voc
from foveal.errors import DataError

HEIGHT, WIDTH = 40, 60


def _object(name: str = "cat", corners: tuple[Any, ...] = (6, 7, 15, 26), extra: str = "") -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>"
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=False)
    )
    return f"<object>\n<name>{name}</name>{extra}\n<bndbox>{sides}</bndbox></object>\n"


def _sheet(*objects: str, size: tuple[int, int] = (WIDTH, HEIGHT), filename: str = "x.jpg") -> str:
    return (
        f"<annotation>\n<folder>f</folder><filename>{filename}</filename><path>/etc/hostname</path>\n"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>\n"
        f"{''.join(objects)}</annotation>\n"
    )


def _picture(path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, format="PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _picture(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(_sheet(_object()))
    return tmp_path


# ---------------------------------------------------------------- real folders


@pytest.mark.parametrize(
    ("split", "pictures", "boxes", "faults"),
    [("train", 205, 2804, {"zero_size": 1}), ("val", 87, 1137, {"zero_size": 1}), ("test", 72, 945, {})],
)
def test_bccd(shared: Path, split: str, pictures: int, boxes: int, faults: dict[str, int]) -> None:
    bccd = shared / "data" / "bccd_voc" / "BCCD"
    records = read_voc(
        bccd / "Annotations", bccd / "JPEGImages", bccd / "ImageSets" / "Main" / f"{split}.txt", strict=True
    )
    assert (len(records), len(records.boxes)) == (pictures, boxes)
    assert records.classes == (("Platelets", "RBC", "WBC"), (1, 2, 3))
    assert records.fault_counts() == faults
    stems = (bccd / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
    assert [Path(file).stem for file in records.files] == stems
    assert records.boxes.min() == 0
    if split == "train":
        assert class_counts(records).tolist() == [209, 2382 - 1, 214]
        # The line of the object whose box is a single point, as a text editor shows it.
        path, line = records.faults[0].where.rsplit(":", 1)
        lines = Path(path).read_text().splitlines()
        assert lines[int(line) - 1].strip() == "<object>"
        assert "<xmin>181</xmin>" in lines[int(line) + 5]


@pytest.mark.parametrize(("split", "pictures", "boxes"), [("train", 296, 527), ("test", 67, 143)])
def test_playing_cards_agree_with_their_csv(shared: Path, split: str, pictures: int, boxes: int) -> None:
    images = shared / "data" / "playing_cards_voc_csv" / "images"
    records = read_voc(images / split)
    assert (len(records), len(records.boxes)) == (pictures, boxes)
    assert records.classes.names == ("ace", "jack", "king", "nine", "queen", "ten")
    assert records.fault_counts() == {}
    with (images / f"{split}_labels.csv").open(newline="") as file:
        expected = Counter(
            (
                row["filename"],
                row["class"],
                int(row["xmin"]) - 1,
                int(row["ymin"]) - 1,
                int(row["xmax"]),
                int(row["ymax"]),
            )
            for row in csv.DictReader(file)
        )
    found = Counter(
        (str(records.files[picture]), records.classes.names[label], *map(int, box))
        for picture in range(len(records))
        for box, label in zip(records.rows(picture).boxes, records.rows(picture).labels, strict=True)
    )
    assert found == expected


def test_eval_toy_cats_agrees_with_its_coco_copy(shared: Path) -> None:
    toy = shared / "data" / "eval_toy_cats"
    voc = read_voc(toy / "gts_vocpascal_format", toy / "images", corners="raw")
    assert voc.fault_counts() == {"empty_labels": 1, "no_label_file": 2}
    coco = read_coco(toy / "gts_coco_format" / "toy_example_coco.JSON", toy / "images")
    assert len(voc) == 12
    places = {str(file): picture for picture, file in enumerate(voc.files)}
    for picture, file in enumerate(coco.files):
        ours = sorted(voc.rows(places[str(file)]).boxes.tolist())
        np.testing.assert_allclose(ours, sorted(coco.rows(picture).boxes.tolist()), atol=1.01)


# ---------------------------------------------------------------- corners


@pytest.mark.parametrize(("corners", "expected"), [("one_based", [5, 6, 15, 26]), ("raw", [6, 7, 15, 26])])
def test_corners(folder: Path, corners: Any, expected: list[float]) -> None:
    records = read_voc(folder, corners=corners)
    assert records.boxes.tolist() == [expected]
    assert records.area.tolist() == [(expected[2] - expected[0]) * (expected[3] - expected[1])]
    with pytest.raises(ValueError, match="one_based or raw"):
        read_voc(folder, corners="other")  # type: ignore[arg-type]


def test_whole_picture_is_not_clipped(folder: Path) -> None:
    (folder / "a.xml").write_text(_sheet(_object(corners=(1, 1, WIDTH, HEIGHT))))
    records = read_voc(folder)
    assert records.boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert records.fault_counts() == {}


# ---------------------------------------------------------------- pictures and their labels


def test_pairs_by_stem_whatever_the_extensions_case(tmp_path: Path) -> None:
    for name, sheet in (("b.JPG", "b.xml"), ("a.jpeg", "a.XML"), ("c.d.Png", "c.d.xml")):
        _picture(tmp_path / name)
        (tmp_path / sheet).write_text(_sheet(_object(), filename="other.jpg"))
    records = read_voc(tmp_path)
    assert records.files.tolist() == ["a.jpeg", "b.JPG", "c.d.Png"]
    assert records.image_ids.tolist() == [1, 2, 3]
    assert records.fault_counts() == {}


@pytest.mark.parametrize("filename", ["pic.png", "C:\\photos\\pic.png", "../elsewhere/pic.png"])
@pytest.mark.parametrize("with_split", [False, True])
def test_filename_where_no_picture_has_the_stem(tmp_path: Path, filename: str, with_split: bool) -> None:
    _picture(tmp_path / "pic.png")
    (tmp_path / "one.xml").write_text(_sheet(_object(), filename=filename))
    split = None
    if with_split:
        split = tmp_path / "split.txt"
        split.write_text("one\n")
    records = read_voc(tmp_path, split=split)
    assert records.files.tolist() == ["pic.png"]
    assert len(records.boxes) == 1
    assert records.fault_counts() == {}


def test_filename_leads_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    _picture(tmp_path / "secret.png")
    _picture(root / "a.png")
    (root / "a.xml").write_text(_sheet(_object()))
    (root / "one.xml").write_text(_sheet(_object(), filename="../secret.png"))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    records = read_voc(root)
    assert records.files.tolist() == ["a.png"]
    assert records.fault_counts() == {"orphan_label": 1, "unsafe_path": 1}


def test_split_lists_stems(folder: Path) -> None:
    for name in ("b.png", "c.png", "IMG 1.png"):
        _picture(folder / name)
    split = folder / "split.txt"
    split.write_bytes(b"\xef\xbb\xbfIMG 1\r\nb.png  \r\n\r\na  -1\r\na\r\nabsent\r\n../a\r\n")
    records = read_voc(folder, split=split)
    assert records.files.tolist() == ["IMG 1.png", "b.png", "a.png"]
    assert records.fault_counts() == {"no_label_file": 2, "duplicate_id": 2, "missing_picture": 1}
    missing = next(fault for fault in records.faults if fault.kind == "missing_picture")
    assert missing.where == f"{split}:6"


def test_a_split_takes_no_picture_for_another(folder: Path) -> None:
    """Only a class's mark may follow a stem, and only an extension of pictures is one."""
    split = folder / "split.txt"
    split.write_text("a 2\na.v2\nJPEGImages\\a.png\n")
    records = read_voc(folder, split=split)
    assert records.files.tolist() == ["a.png"]
    assert [fault.where for fault in records.faults] == [f"{split}:1", f"{split}:2"]
    assert records.fault_counts() == {"missing_picture": 2}


def test_labels_outside_are_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "b.xml"
    outside.write_text(_sheet(_object("secret"), filename="c.png"))
    _picture(folder / "b.png")
    _picture(folder / "c.png")
    (folder / "b.xml").symlink_to(outside)
    (folder / "d.xml").symlink_to(outside)
    records = read_voc(folder)
    assert records.files.tolist() == ["a.png", "c.png"]
    assert records.classes.names == ("cat",)
    assert records.fault_counts() == {"unsafe_path": 1, "no_label_file": 1, "orphan_label": 1}


def test_pictures_without_labels_are_background(folder: Path) -> None:
    _picture(folder / "b.png")
    _picture(folder / "c.png")
    (folder / "c.xml").write_text(_sheet())
    (folder / "d.xml").write_text(_sheet(_object()))
    records = read_voc(folder)
    assert records.offsets.tolist() == [0, 1, 1, 1]
    assert records.fault_counts() == {"no_label_file": 1, "empty_labels": 1, "orphan_label": 1}


def test_two_pictures_of_one_stem(folder: Path) -> None:
    _picture(folder / "a.jpg")
    records = read_voc(folder)
    assert records.files.tolist() == ["a.jpg"]
    assert records.fault_counts() == {"duplicate_id": 1}


def test_broken_picture_is_left_out(folder: Path) -> None:
    (folder / "b.jpg").write_bytes(b"no picture")
    (folder / "b.xml").write_text(_sheet(_object()))
    records = read_voc(folder)
    assert len(records) == 1
    assert records.fault_counts() == {"unreadable_picture": 1}
    with pytest.raises(DataError, match=r"strict.*b\.jpg"):
        read_voc(folder, strict=True)


def test_labels_of_the_stored_picture_turn_with_it(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png", exif=exif)
    records = read_voc(folder)
    assert (records.heights[0], records.widths[0]) == (WIDTH, HEIGHT)
    assert records.boxes.tolist() == [[6, WIDTH - 15, 26, WIDTH - 5]]
    assert records.fault_counts() == {"rotated_labels": 1}


@pytest.mark.parametrize(("size", "faults"), [((61, 40), {"size_mismatch": 1}), ((0, 0), {})])
def test_stated_size(folder: Path, size: tuple[int, int], faults: dict[str, int]) -> None:
    (folder / "a.xml").write_text(_sheet(_object(), size=size))
    assert read_voc(folder).fault_counts() == faults


# ---------------------------------------------------------------- objects


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (_object(corners=(6, 7, 6, 26)), "zero_size"),
        (_object(corners=(6, 7, 15, 7)), "zero_size"),
        (_object(corners=(16, 7, 15, 26)), "zero_size"),
        (_object(corners=(61, 7, 70, 26)), "outside"),
        (_object(corners=("nan", 7, 15, 26)), "bad_number"),
        (_object(corners=("1e999", 7, 15, 26)), "bad_number"),
        (_object(corners=("9" * 5000, 7, 15, 26)), "bad_number"),
        (_object(corners=("six", 7, 15, 26)), "bad_number"),
        (_object(corners=("1_0", 7, 15, 26)), "bad_number"),
        (_object(corners=("1,5", 7, 15, 26)), "bad_number"),
        (_object(corners=("", 7, 15, 26)), "bad_number"),
        (_object(corners=(6, 7, 15)), "bad_number"),
        ("<object><name>cat</name></object>", "bad_number"),
        ("<object><bndbox/></object>", "unknown_class"),
        (_object(""), "unknown_class"),
    ],
)
def test_bad_object_is_dropped_and_counted_with_its_line(folder: Path, text: str, kind: str) -> None:
    (folder / "a.xml").write_text(_sheet(_object(), text))
    records = read_voc(folder)
    assert records.boxes.tolist() == [[5, 6, 15, 26]]
    assert records.fault_counts() == {kind: 1}
    assert records.faults[0].where == f"{folder / 'a.xml'}:7"
    assert "\n" not in records.faults[0].message


def test_zero_size_is_judged_before_the_shift(folder: Path) -> None:
    """One pixel wide by the shift alone: the annotator drew nothing."""
    (folder / "a.xml").write_text(_sheet(_object(), _object(corners=(6, 7, 7, 8))))
    assert read_voc(folder).boxes.tolist() == [[5, 6, 15, 26], [5, 6, 7, 8]]


def test_box_from_zero_in_a_one_based_file_is_clipped(folder: Path) -> None:
    (folder / "a.xml").write_text(_sheet(_object(corners=(0, 0, 15, 26))))
    records = read_voc(folder)
    assert records.boxes.tolist() == [[0, 0, 15, 26]]
    assert records.fault_counts() == {"clipped": 1}


def test_parts_are_not_objects(folder: Path) -> None:
    part = _object("head", (1, 1, 3, 3)).replace("object>", "part>")
    (folder / "a.xml").write_text(_sheet(_object(extra=part)))
    records = read_voc(folder)
    assert records.classes.names == ("cat",)
    assert records.boxes.tolist() == [[5, 6, 15, 26]]


def test_difficult_objects_are_ignored_regions(folder: Path) -> None:
    difficult = _object("dog", (1, 1, 9, 9), "<difficult>1</difficult>")
    (folder / "a.xml").write_text(_sheet(_object(extra="<difficult>0</difficult>"), difficult))
    records = read_voc(folder, classes=["cat", "dog"])
    assert records.crowd.tolist() == [False, True]
    assert records.fault_counts() == {"crowd": 1}
    (folder / "a.xml").write_text(_sheet(difficult))
    assert read_voc(folder, classes=["dog"]).fault_counts() == {"crowd": 1, "only_crowd": 1}
    with pytest.raises(DataError, match="no usable box"):
        read_voc(folder)


@pytest.mark.parametrize(
    ("flags", "crowd", "faults"),
    [
        (Flags(), [False, True, False, False], {"crowd": 1}),
        (Flags(difficult="keep"), [False, False, False, False], {}),
        (Flags("drop", "ignore", "drop"), [False, True], {"flagged": 2, "crowd": 1}),
    ],
)
def test_marked_objects(folder: Path, flags: Flags, crowd: list[bool], faults: dict[str, int]) -> None:
    marks = ["", *(f"<{mark}>1</{mark}>" for mark in ("difficult", "truncated", "occluded"))]
    objects = [_object(corners=(1, 1, 9 + place, 9), extra=mark) for place, mark in enumerate(marks)]
    (folder / "a.xml").write_text(_sheet(*objects))
    records = read_voc(folder, flags=flags)
    assert records.crowd.tolist() == crowd
    assert records.fault_counts() == faults


def test_truncated_objects_of_real_files(shared: Path) -> None:
    bccd = shared / "data" / "bccd_voc" / "BCCD"
    records = read_voc(bccd / "Annotations", bccd / "JPEGImages", flags=Flags(truncated="drop"))
    assert records.fault_counts() == {"zero_size": 2, "flagged": 1131}
    assert len(records.boxes) == 4888 - 2 - 1131


def test_wanted_classes(folder: Path) -> None:
    (folder / "a.xml").write_text(_sheet(_object(" dog "), _object("cat")))
    records = read_voc(folder, classes=["zebra", "dog"])
    assert records.classes == (("zebra", "dog"), (1, 2))
    assert records.labels.tolist() == [1]
    assert records.fault_counts() == {"unknown_class": 1}


# ---------------------------------------------------------------- broken files


_LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation><filename>&b;</filename></annotation>'
)
_OUTSIDE = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><annotation><filename>&a;</filename></annotation>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"b\.xml:1: not XML"),
        (b"<annotation>\n<object></annotation>", r"b\.xml:2: not XML"),
        (b"<svg/>", "root is <svg>"),
        (b"<annotation>&nbsp;</annotation>", "not XML"),
        (_LAUGHS.encode(), "refused: XML with a DTD"),
        (_OUTSIDE.encode(), "refused: XML with a DTD"),
        (b'<!DOCTYPE annotation SYSTEM "x.dtd"><annotation/>', "refused: XML with a DTD"),
        (b"<annotation>" * 100_000, "64 deep"),
        (b"<annotation>" + b" " * 5_000_000 + b"</annotation>", "5,000,000 bytes"),
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', "not XML"),
        (b'<?xml version="1.0" encoding="big5"?><annotation/>', "not XML"),
        (b"\xff\xfe\xfa<annotation/>", "not XML"),
    ],
)
def test_broken_xml_leaves_its_picture_out(folder: Path, content: bytes, message: str) -> None:
    """Training on it as background would teach that its objects are none."""
    _picture(folder / "b.png")
    (folder / "b.xml").write_bytes(content)
    records = read_voc(folder)
    assert records.files.tolist() == ["a.png"]
    assert records.fault_counts() == {"unreadable_labels": 1}
    assert str(folder / "b.xml") in records.faults[0].message
    with pytest.raises(DataError, match=message):
        read_voc(folder, strict=True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(folder: Path, encoding: str) -> None:
    declaration = '<?xml version="1.0" encoding="ISO-8859-1"?>' if encoding == "latin-1" else ""
    (folder / "a.xml").write_bytes((declaration + _sheet(_object("Käse"))).encode(encoding))
    assert read_voc(folder).classes.names == ("Käse",)


def test_unusable_folders(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for call, message in [
        (lambda: read_voc(folder / "absent"), "no such folder of XML files"),
        (lambda: read_voc(folder, folder / "absent"), "no such folder of pictures"),
        (lambda: read_voc(folder, split=folder / "absent.txt"), r"absent\.txt: no such split file"),
        (lambda: read_voc(folder, split=folder / "a.png"), "not UTF-8"),
        (lambda: read_voc(empty), "no picture"),
        (lambda: read_voc(empty, folder), "no usable box"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_xml_gives_records_or_one_line(folder: Path, data: st.DataObject) -> None:
    content = bytearray(_sheet(_object(), _object("dog", (1, 1, 60, 40))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        inserted = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"<", b"</object>", b"<bndbox>", b"-", b"9999"])
        )
        content[place : place + data.draw(st.integers(0, 4))] = inserted
    (folder / "a.xml").write_bytes(bytes(content))
    refusal = ""
    try:
        records: Records = read_voc(folder)
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
