"""CSV files: real ones against their XML, headers and orders, and every way a row can be wrong."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveal.data.csv_table import read_csv
from foveal.data.flags import Flags
from foveal.data.records import Records
from foveal.data.voc import read_voc
from foveal.errors import DataError

HEIGHT, WIDTH = 40, 60
HEADER = "filename,class,xmin,ymin,xmax,ymax\n"
BOX = [6.0, 7.0, 15.0, 26.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    return tmp_path


def _read(folder: Path, text: str | bytes, **options: Any) -> Records:
    (folder / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(folder / "labels.csv", **options)


def _boxes(records: Records) -> Counter[tuple[str, str, tuple[float, ...]]]:
    names = records.classes.names
    return Counter(
        (Path(str(records.files[picture])).stem, names[label], tuple(box))
        for picture in range(len(records))
        for box, label in zip(records.rows(picture).boxes.tolist(), records.rows(picture).labels, strict=True)
    )


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize(("part", "pictures", "boxes"), [("train", 296, 527), ("test", 67, 143)])
def test_playing_cards_agree_with_their_xml(shared: Path, part: str, pictures: int, boxes: int) -> None:
    images = shared / "data" / "playing_cards_voc_csv" / "images"
    records = read_csv(images / f"{part}_labels.csv", images / part, corners="one_based", strict=True)
    assert (len(records), len(records.boxes)) == (pictures, boxes)
    assert records.fault_counts() == {}
    assert records.classes.names == ("ace", "jack", "king", "nine", "queen", "ten")
    assert _boxes(records) == _boxes(read_voc(images / part))


def test_bccd_agrees_with_its_xml(shared: Path, tmp_path: Path) -> None:
    """The header's order is x, x, y, y; and the same rows without a header, in several orders."""
    bccd = shared / "data" / "bccd_voc"
    pictures = bccd / "BCCD" / "JPEGImages"
    records = read_csv(bccd / "test.csv", pictures, corners="one_based", strict=True)
    assert (len(records), len(records.boxes)) == (364, 4888 - 2)
    assert records.fault_counts() == {"zero_size": 2}
    assert _boxes(records) == _boxes(read_voc(bccd / "BCCD" / "Annotations", pictures))
    split = bccd / "BCCD" / "ImageSets" / "Main" / "val.txt"
    assert len(read_csv(bccd / "test.csv", pictures, split).boxes) == 1137
    with (bccd / "test.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    raw = _boxes(read_csv(bccd / "test.csv", pictures))
    orders = {
        "keras-retinanet": lambda name, kind, x1, x2, y1, y2: (name, x1, y1, x2, y2, kind),
        "with sizes": lambda name, kind, x1, x2, y1, y2: (name, 640, 480, kind, x1, y1, x2 - x1, y2 - y1),
        "centres": lambda name, kind, x1, x2, y1, y2: (
            "Test", name, kind, (x1 + x2) / 1280, (y1 + y2) / 960, (x2 - x1) / 640, (y2 - y1) / 480,
        ),
    }  # fmt: skip
    for order in orders.values():
        lines = (";".join(map(str, order(row[0], row[1], *map(int, row[2:])))) for row in rows)
        found = _boxes(_read(tmp_path, "\n".join(lines), images=pictures))
        assert Counter((name, kind, tuple(map(round, box))) for name, kind, box in found.elements()) == raw


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (HEADER + "a.png,cat,6,7,15,26", {}),
        ("filename,width,height,class,xmin,ymin,xmax,ymax\na.png,60,40,cat,6,7,15,26", {}),
        ("filename,cell_type,xmin,xmax,ymin,ymax\na.png,cat,6,15,7,26", {}),
        ("ymax;xmax;ymin;xmin;Label;Image Path\n26;15;7;6;cat;a.png", {}),
        ("file\tcategory\tx\ty\tw\th\na.png\tcat\t6\t7\t9\t19", {}),
        ("image,label,x,y,width,height\na.png,cat,6,7,9,19", {}),
        ("image,label,left,top,width,height\na.png,cat,6,7,9,19", {}),
        (
            "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
            "cat,6,7,9,19,a.png,60,40",
            {},
        ),
        ("image,width,height,label,x,y,w,h\na.png,60,40,cat,6,7,9,19", {}),
        ("image,label,cx,cy,w,h\na.png,cat,10.5,16.5,9,19", {}),
        ("image;label;x_center;y_center;width;height\na.png;cat;0,175;0,4125;0,15;0,475", {}),
        ("image,class,x0,y0,x1,y1\na.png,cat,6,7,15,26", {}),
        ("ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\na,cat,1,0.1,0.25,0.175,0.65", {}),
        ("a.png,6,7,15,26,cat", {"columns": {"file": 1, "class": 6, "x1": 2, "y1": 3, "x2": 4, "y2": 5}}),
        (
            "F,K,L,R,O,U\na.png,cat,6,15,7,26",
            {"columns": {"file": "F", "class": "K", "x1": "L", "x2": "R", "y1": "O", "y2": "U"}},
        ),
        (
            "F,K,L,R,O,U\na.png,cat,6,15,7,26",
            {"columns": {"file": 1, "class": 2, "x1": 3, "x2": 4, "y1": 5, "y2": 6}},
        ),
        (HEADER + '"a.png","cat","6","7","15","26"\r\n\r\n', {}),
        ("\ufeff" + HEADER + "./a.png , cat , 6 , 7 , 15 , 26", {}),
        (HEADER + "C:\\data\\a.png,cat,6,7,15,26", {}),
        (HEADER + "gs://bucket/a.PNG,cat,6,7,15,26", {}),
        ((HEADER + "a.png,cat,6,7,15,26\n").encode("utf-16"), {}),
        (HEADER + "a.png,cat,7,8,15,26", {"corners": "one_based"}),
        (HEADER.replace(",", "|") + "a.png|cat|6|7|15|26", {"units": "pixels"}),
    ],
)
def test_one_box_in_many_spellings(folder: Path, text: str | bytes, options: dict[str, Any]) -> None:
    records = _read(folder, text, **options)
    assert records.files.tolist() == ["a.png"]
    assert records.boxes.round(9).tolist() == [BOX]
    assert records.classes == (("cat",), (1,))
    assert records.fault_counts() == {}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("\n \n", {}, "empty"),
        (
            "filename,xmin,ymin,xmax,ymax\na.png,6,7,15,26",
            {},
            "no column for class; the columns are filename",
        ),
        ("filename,class,xmin,ymin\na.png,cat,6,7", {}, "no column for box"),
        ("file,class,x,y,width,height,width,height\na.png,cat,1,2,3,4,5,6", {}, "'width' stands twice"),
        ("file,class,x1,x1,x2,y2\na.png,cat,1,2,3,4", {}, "'x1' stands twice"),
        ("Bild,Art,l,r,o,u\na.png,cat,1,2,3,4", {}, "no column for file and class and box"),
        (
            "a.png,6,7,15,26,cat",
            {},
            r"not clear: add columns: \{file: 1, class: 6, x1: 2, y1: 3, x2: 4, y2: 5\} or",
        ),
        ("a.png,6,7,15,cat", {}, "no header, and 3 columns of numbers"),
        ("a.png,6,7,15,26", {}, "4 columns of numbers and none of classes"),
        ("a.png,cat,old,6,7,15,26", {}, "columns 2, 3 might each be the class"),
        ("cat,6,7,15,26", {}, "no columns hold names of pictures"),
        ("gone.png,6,7,15,26,cat", {}, "no row has numbers and a picture"),
        ("a.png,50,39,20,5,cat", {}, "no usual order of the columns fits"),
        (
            HEADER + "a.png,cat,6,7,15,26",
            {"columns": {"file": "path", "class": 2}},
            "no single column is called 'path'",
        ),
        (HEADER + "a.png,cat,6,7,15,26", {"columns": {"file": 1, "class": 9}}, "there are columns 1 to 6"),
        (
            HEADER + "a.png,cat,6,7,15,26",
            {"columns": {"file": 1, "class": 2, "x1": 3}},
            "needed are file, class",
        ),
        (HEADER + "a.png,cat,6,7,15,26", {"part": "train"}, "needs a column that says train"),
        (HEADER + "a.png,cat,.1,.2,.5,.6", {"corners": "one_based"}, "needs x1 y1 x2 y2 in pixels"),
        (HEADER + 'a.png,"' + "x" * 200_000, {}, r"labels\.csv:\d: not CSV: .*quote"),
        (b"\xff\xfe\x00", {}, "not UTF"),
        (HEADER.encode() + b"a.png,c\xe4t,6,7,15,26", {}, r"labels\.csv:2: not UTF-8"),
    ],
)
def test_a_file_that_is_not_clear_says_what_to_write(
    folder: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _read(folder, text, **options)
    assert str(folder / "labels.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_order_with_y_first_is_named_but_not_taken(folder: Path) -> None:
    rows = [(2, 30, 30, 50), (5, 20, 39, 58), (1, 40, 20, 45), (30, 1, 35, 3)]
    text = "\n".join(f"a.png,cat,{y1},{x1},{y2},{x2}" for y1, x1, y2, x2 in rows)
    with pytest.raises(
        DataError, match=r"with 0 that do not fit, is columns: \{.*y1: 3, x1: 4, y2: 5, x2: 6\}"
    ):
        _read(folder, text)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("b.png,cat,6,7,6,26", "zero_size"),
        ("b.png,cat,nan,7,15,26", "bad_number"),
        ("b.png,cat,1e999,7,15,26", "bad_number"),
        ("b.png,cat,six,7,15,26", "bad_number"),
        ("b.png,cat,1_0,7,15,26", "bad_number"),
        ("b.png,cat,,7,15,26", "bad_number"),
        ("b.png,cat,,,,", "bad_number"),
        ("b.png,,6,7,15,26", "unknown_class"),
        ("b.png,cat,70,7,75,26", "outside"),
        ("b.png,cat,6,7", "unreadable_labels"),
        ("b.png,cat,6,7,15,26,x", "unreadable_labels"),
        (",cat,6,7,15,26", "missing_picture"),
        ("gone.png,cat,6,7,15,26", "missing_picture"),
        ("../../x.png,cat,6,7,15,26", "unsafe_path"),
        ("a.png,cat,6,7,15,26", "duplicate_box"),
        (HEADER.strip(), "unreadable_labels"),
        ('"b.png,cat,6,7,15,26\n', "unreadable_labels"),
    ],
)
def test_bad_row_is_dropped_and_counted_with_its_line(folder: Path, row: str, kind: str) -> None:
    records = _read(folder, f"{HEADER}a.png,cat,6,7,15,26\n{row}\n")
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {kind: 1}
    assert records.faults[0].where.startswith(f"{folder / 'labels.csv'}:3")
    assert "\n" not in records.faults[0].message


def test_a_remark_may_have_lines(folder: Path) -> None:
    """A line break in a column that nobody reads tells of no open quote, unless whole rows are behind it."""
    header = HEADER.strip() + ",remark\n"
    records = _read(folder, header + 'a.png,cat,6,7,15,26,"two\r\nlines, or more"\nb.png,cat,6,7,15,26,\n')
    assert records.boxes.tolist() == [BOX, BOX]
    assert records.fault_counts() == {}
    rows = "b.png,cat,6,7,15,26,\n" * 2
    records = _read(folder, f'{header}a.png,cat,6,7,15,26,\na.png,cat,6,7,15,25,"open\n{rows}')
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {"unreadable_labels": 1}


def test_two_pictures_of_one_name_are_not_taken_for_one(folder: Path) -> None:
    """The rows of a picture that is not there would become labels of another one."""
    rows = (
        "train/a.png,cat,6,7,15,26\nval/a.png,cat,1,1,9,9\n.\\train\\a.png,dog,1,1,5,5\na.png,cat,1,1,6,6\n"
    )
    records = _read(folder, HEADER + rows)
    assert records.files.tolist() == ["a.png"]
    assert records.boxes.tolist() == [BOX, [1, 1, 5, 5], [1, 1, 6, 6]]
    assert records.fault_counts() == {"missing_picture": 1}
    assert records.faults[0].where == f"{folder / 'labels.csv'}:3"


def test_what_follows_the_last_point_may_be_no_extension(folder: Path) -> None:
    records = _read(folder, HEADER + "a.png,cat,6,7,15,26\na.2,cat,1,1,9,9\n")
    assert records.boxes.tolist() == [BOX]
    assert records.fault_counts() == {"missing_picture": 1}


def test_pixels_among_shares(folder: Path) -> None:
    rows = "".join(f"a.png,cat,0.1,0.1,0.5,0.{digit}\n" for digit in range(2, 10)) * 2
    records = _read(folder, f"{HEADER}{rows}a.png,cat,6,7,15,26\n")
    assert records.fault_counts() == {"duplicate_box": 8, "bad_number": 1}
    assert "looks like pixels" in records.faults[-1].message


def test_rows_of_one_picture_need_not_be_adjacent(folder: Path) -> None:
    text = HEADER + "b.png,10,1,1,5,5\na.png,9,1,1,5,5\nb.png,2,1,1,6,6\n"
    records = _read(folder, text)
    assert records.files.tolist() == ["b.png", "a.png"]
    assert records.image_ids.tolist() == [1, 2]
    assert records.offsets.tolist() == [0, 2, 3]
    assert records.classes.names == ("2", "9", "10")


def test_background_rows_with_and_without_a_header(folder: Path) -> None:
    assert _read(folder, HEADER + "b.png,,,,,\na.png,cat,6,7,15,26").fault_counts() == {"empty_labels": 1}
    rows = [(2, 30, 30, 39), (20, 5, 58, 39), (40, 1, 45, 20), (1, 30, 3, 35)]
    text = "b.png,,,,,\n" + "\n".join(f"a.png,{x1},{y1},{x2},{y2},cat" for x1, y1, x2, y2 in rows)
    records = _read(folder, text)
    assert records.files.tolist() == ["b.png", "a.png"]
    assert records.boxes.tolist() == [list(map(float, row)) for row in rows]
    assert records.fault_counts() == {"empty_labels": 1}


def test_parts_and_splits(folder: Path) -> None:
    text = "set,file,label,x1,y1,x2,y2\nTRAIN,a.png,cat,6,7,15,26\nVALIDATION,b.png,cat,1,1,9,9\n"
    assert _read(folder, text, part="val").files.tolist() == ["b.png"]
    assert _read(folder, text, part="TRAIN").files.tolist() == ["a.png"]
    assert len(_read(folder, text)) == 2
    split = folder / "split.txt"
    split.write_text("b\nb.png\ngone\n")
    records = _read(folder, HEADER + "a.png,cat,6,7,15,26", split=split, classes=["cat"])
    assert records.files.tolist() == ["b.png"]
    assert records.fault_counts() == {"no_label_file": 1, "duplicate_id": 1, "missing_picture": 1}


@pytest.mark.parametrize(
    ("flags", "kept", "ignored", "faults"),
    [
        (Flags(), 6, [False, True, False, False, True, False], {"crowd": 2}),
        (
            Flags("drop", "drop", "ignore", "keep"),
            4,
            [False, True, False, False],
            {"flagged": 2, "crowd": 1},
        ),
    ],
)
def test_flags(folder: Path, flags: Flags, kept: int, ignored: list[bool], faults: dict[str, int]) -> None:
    marks = ["0,0,0,0", "1,0,0,0", "0,1,0,0", "0,0,1,0", "0,0,0,1", "-1,-1,-1,-1"]
    rows = "".join(f"a.png,cat,1,1,{20 + place},9,{mark}\n" for place, mark in enumerate(marks))
    header = HEADER.strip() + ",difficult,IsTruncated,IsOccluded,IsGroupOf\n"
    records = _read(folder, header + rows, flags=flags)
    assert len(records.boxes) == kept
    assert records.crowd.tolist() == ignored
    assert records.fault_counts() == faults


def test_sizes_and_turned_pictures(folder: Path) -> None:
    header = HEADER.strip() + ",width,height\n"
    assert _read(folder, header + "a.png,cat,6,7,15,26,61,40").fault_counts() == {"size_mismatch": 1}
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png", exif=exif)
    records = _read(folder, header + "a.png,cat,6,7,15,26,60,40")
    assert records.boxes.tolist() == [[7, WIDTH - 15, 26, WIDTH - 6]]
    assert records.fault_counts() == {"rotated_labels": 1}


def test_nothing_outside_the_folder_is_read(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(inner / "c.png")
    (inner / "link.png").symlink_to(folder / "a.png")
    names = ["../a.png", str(folder / "a.png"), "link.png", "link", "x/../../a.png", "a\\..\\..\\a.png"]
    rows = "".join(f"{name},cat,6,7,15,26\n" for name in names)
    records = _read(inner, f"{HEADER}c.png,cat,6,7,15,26\n{rows}")
    assert records.files.tolist() == ["c.png"]
    assert sum(records.fault_counts().values()) == len(names)
    assert records.fault_counts().keys() <= {"unsafe_path", "missing_picture"}


# ---------------------------------------------------------------- damage


_BITS = [
    b"-",
    b"9999",
    b"nan",
    b"\n",
    b",",
    b";",
    b"\t",
    b'"',
    b"\xff",
    b"\0",
    b"..",
    b"/",
    b"\r",
    b"=",
    b"1e9",
]
_SOUND = [
    HEADER + "a.png,cat,6,7,15,26\nb.png,dog,1,1,60,40\nb.png,,,,,\n",
    "a.png,2,30,30,39,cat\na.png,20,5,58,39,cat\nb.png,40,1,45,20,dog\nb.png,1,30,3,35,cat\n",
    "ImageID;LabelName;XMin;XMax;YMin;YMax;IsOccluded\na;cat;0,1;0,25;0,175;0,65;1\nb;dog;0;1;0;1;-1\n",
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), sound=st.sampled_from(_SOUND))
def test_damaged_files_give_records_or_one_line(folder: Path, data: st.DataObject, sound: str) -> None:
    content = bytearray(sound.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        inserted = data.draw(st.binary(max_size=3) | st.sampled_from(_BITS))
        content[place : place + data.draw(st.integers(0, 4))] = inserted or b" "
    refusal = ""
    try:
        records = _read(folder, bytes(content))
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
    assert all("labels.csv" in fault.where or fault.kind == "only_crowd" for fault in records.faults)
