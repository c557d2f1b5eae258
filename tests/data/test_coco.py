"""COCO JSON: real files, ids with gaps and from 0, and every way a file can be wrong."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveal.data.coco import read_coco
from foveal.data.coco_json import load_coco
from foveal.data.flags import Flags
from foveal.data.records import Records, class_counts
from foveal.errors import DataError

HEIGHT, WIDTH = 40, 60


def _image(image_id: Any, name: str = "a.png", **more: Any) -> dict[str, Any]:
    return {"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH, **more}


def _box(box_id: Any, bbox: Any = (5, 6, 10, 20), **more: Any) -> dict[str, Any]:
    bbox = list(bbox) if isinstance(bbox, tuple) else bbox
    return {"id": box_id, "image_id": 1, "category_id": 3, "bbox": bbox, "iscrowd": 0, **more}


def _content(*boxes: Any, images: Any = None, categories: Any = None) -> dict[str, Any]:
    return {
        "images": [_image(1)] if images is None else images,
        "annotations": list(boxes),
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
        if categories is None
        else categories,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    return tmp_path


def _read(folder: Path, content: Any, **options: Any) -> Records:
    path = folder / "labels.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_coco(path, **options)


# ---------------------------------------------------------------- real files


def test_chess_has_unused_categories_and_ids_from_zero(shared: Path) -> None:
    chess = shared / "data" / "chess_coco"
    valid = read_coco(chess / "valid" / "_annotations.coco.json")
    assert (len(valid), len(valid.boxes)) == (58, 386)
    assert valid.classes.ids == tuple(range(2, 14))
    assert valid.classes.names[0] == "black-bishop"
    assert valid.image_ids.min() == 0
    counts = dict(zip(valid.classes.names, class_counts(valid), strict=True))
    assert counts["white-pawn"] == 77
    assert counts["black-queen"] == 11
    assert valid.fault_counts() == {}
    test = read_coco(chess / "test" / "_annotations.coco.json", classes=valid.classes.names)
    assert (len(test), len(test.boxes)) == (29, 376)
    assert test.classes == valid.classes
    assert test.fault_counts() == {"empty_labels": 1}


@pytest.mark.parametrize(
    ("split", "pictures", "boxes", "classes", "faults"),
    [("train2017", 32, 288, 41, {"crowd": 4, "empty_labels": 2}), ("val2017", 6, 136, 16, {"crowd": 1})],
)
def test_tinycoco(
    shared: Path, split: str, pictures: int, boxes: int, classes: int, faults: dict[str, int]
) -> None:
    tiny = shared / "data" / "tinycoco_coco"
    path = tiny / "annotations" / f"instances_{split}.json"
    records = read_coco(path, tiny / "images" / split)
    assert (len(records), len(records.boxes), len(records.classes.names)) == (pictures, boxes, classes)
    assert records.fault_counts() == faults
    assert int(records.crowd.sum()) == faults["crowd"]
    declared = json.loads(path.read_text())
    assert sorted(records.area) == sorted(entry["area"] for entry in declared["annotations"])
    for image_id, height, width in zip(records.image_ids, records.heights, records.widths, strict=True):
        entry = next(entry for entry in declared["images"] if entry["id"] == image_id)
        assert (entry["height"], entry["width"]) == (height, width)
    assert records.load(0).shape == (records.heights[0], records.widths[0], 3)


def test_eval_toy_cats(shared: Path) -> None:
    toy = shared / "data" / "eval_toy_cats"
    records = read_coco(toy / "gts_coco_format" / "toy_example_coco.JSON", toy / "images")
    assert (len(records), len(records.boxes), records.classes) == (10, 12, (("cat",), (0,)))
    assert records.rows(0).boxes.tolist() == [[1.0, 49.0, 341.0, 499.0]]
    assert records.fault_counts() == {"empty_labels": 1}


# ---------------------------------------------------------------- classes


def test_default_classes_are_those_with_boxes_in_order_of_id(folder: Path) -> None:
    categories = [{"id": 9, "name": "owl"}, {"id": 0, "name": "ant"}, {"id": 4, "name": "unused"}]
    content = _content(_box(1, category_id=9), _box(2, category_id=0), categories=categories)
    records = _read(folder, content)
    assert records.classes == (("ant", "owl"), (0, 9))
    assert records.labels.tolist() == [1, 0]


def test_wanted_classes_keep_their_order_and_ids(folder: Path) -> None:
    records = _read(folder, _content(_box(1), _box(2, category_id=7)), classes=["zebra", "dog", "yak"])
    assert records.classes == (("zebra", "dog", "yak"), (8, 7, 9))
    assert records.labels.tolist() == [1]
    assert records.fault_counts() == {"unknown_class": 1}
    assert "annotation 1" in records.faults[0].where
    assert "'cat' is not wanted" in records.faults[0].message


def test_category_with_only_crowds_is_no_class(folder: Path) -> None:
    records = _read(folder, _content(_box(1), _box(2, category_id=7, iscrowd=1)))
    assert records.classes.names == ("cat",)
    assert len(records.boxes) == 1
    assert records.fault_counts() == {"crowd": 1, "unknown_class": 1}


@pytest.mark.parametrize(
    ("value", "crowd"), [("0", False), (0.0, False), ("", False), (True, True), ("1", True)]
)
def test_iscrowd_as_exporters_write_it(folder: Path, value: Any, crowd: bool) -> None:
    records = _read(folder, _content(_box(1), _box(2, iscrowd=value)))
    assert records.crowd.tolist() == [False, crowd]


def test_categories_of_one_name_are_one_class(folder: Path) -> None:
    categories = [{"id": 5, "name": "cat"}, {"id": 3, "name": " cat "}, {"id": 3, "name": "dog"}]
    records = _read(folder, _content(_box(1), _box(2, category_id=5), categories=categories))
    assert records.classes == (("cat",), (3,))
    assert records.labels.tolist() == [0, 0]
    assert records.fault_counts() == {"duplicate_id": 2}


# ---------------------------------------------------------------- one bad entry


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        (_box(2, (5, 6, 0, 20)), "zero_size"),
        (_box(2, (5, 6, 10, -2)), "zero_size"),
        (_box(2, (float("nan"), 6, 10, 20)), "bad_number"),
        (_box(2, (5, 6, float("inf"), 20)), "bad_number"),
        (_box(2, (5, 6, 10)), "bad_number"),
        (_box(2, (5, 6, 10, "20")), "bad_number"),
        (_box(2, (5, 6, 10, True)), "bad_number"),
        (_box(2, None), "bad_number"),
        (_box(2, {"x": 1}), "bad_number"),
        (_box(2, (10**400, 6, 10, 20)), "bad_number"),
        (_box(2, (1e308, 6, 1e308, 20)), "bad_number"),
        (_box(2, (60, 6, 10, 20)), "outside"),
        (_box(2, (-30, 6, 10, 20)), "outside"),
        (_box(2, category_id=99), "unknown_class"),
        (_box(2, category_id=None), "unknown_class"),
        (_box(2, category_id=[3]), "unknown_class"),
        (_box(2, image_id=99), "orphan_label"),
        (_box(2, image_id="x"), "unreadable_labels"),
        ("a string", "unreadable_labels"),
        (None, "unreadable_labels"),
    ],
)
def test_bad_box_is_dropped_and_counted(folder: Path, box: Any, kind: str) -> None:
    records = _read(folder, _content(_box(1), box))
    assert records.boxes.tolist() == [[5, 6, 15, 26]]
    assert records.fault_counts() == {kind: 1}
    assert records.faults[0].where.startswith(str(folder / "labels.json"))
    assert "annotation 2" in records.faults[0].where or "annotations[1]" in records.faults[0].where
    assert "\n" not in records.faults[0].message


def test_box_partly_outside_is_clipped_and_counted(folder: Path) -> None:
    records = _read(folder, _content(_box(1, (-5, 30, 20, 20))))
    assert records.boxes.tolist() == [[0, 30, 15, 40]]
    assert records.area.tolist() == [150]
    assert records.fault_counts() == {"clipped": 1}


def test_rounding_at_the_edge_is_not_counted(folder: Path) -> None:
    records = _read(folder, _content(_box(1, (50.0, 30.0, 10.01, 10.0))))
    assert records.boxes.tolist() == [[50, 30, 60, 40]]
    assert records.fault_counts() == {}


def test_outlines_are_let_go_while_reading(folder: Path) -> None:
    """They fill most of a file, and no box depends on them."""
    outlines: list[Any] = [[[5, 6, 15, 6, 15, 26]], {"counts": "abc", "size": [40, 60]}, []]
    bare = [_box(number, area=50.0 + number) for number in range(3)]
    drawn = [
        {**box, "segmentation": outline, "keypoints": [1, 2, 2]}
        for box, outline in zip(bare, outlines, strict=True)
    ]
    expected, records = _read(folder, _content(*bare)), _read(folder, _content(*drawn))
    for name in ("boxes", "labels", "area", "crowd", "offsets"):
        np.testing.assert_array_equal(getattr(records, name), getattr(expected, name))
    assert records.faults == expected.faults
    assert load_coco(folder / "labels.json").annotations == bare


def test_repeated_annotation_id_keeps_both(folder: Path) -> None:
    records = _read(folder, _content(_box(1), _box(1, (1, 1, 2, 2))))
    assert len(records.boxes) == 2
    assert records.fault_counts() == {"duplicate_id": 1}


@pytest.mark.parametrize(
    ("flags", "crowd", "faults"),
    [
        (Flags(), [False, True, True], {"crowd": 2}),
        (Flags(crowd="keep"), [False, False, False], {}),
        (Flags(crowd="drop"), [False], {"flagged": 2}),
    ],
)
def test_marked_boxes(folder: Path, flags: Flags, crowd: list[bool], faults: dict[str, int]) -> None:
    content = _content(_box(1), _box(2, iscrowd=1), _box(3, ignore=1))
    records = _read(folder, content, flags=flags)
    assert records.crowd.tolist() == crowd
    assert records.fault_counts() == faults


def test_only_crowd_and_empty_pictures_stay(folder: Path) -> None:
    images = [_image(1), _image(5, "b.png"), _image(9, "sub/../a.png")]
    boxes = [_box(1, iscrowd=1), _box(2, image_id=9)]
    records = _read(folder, _content(*boxes, images=images))
    assert records.image_ids.tolist() == [1, 5, 9]
    assert records.offsets.tolist() == [0, 1, 1, 2]
    assert records.crowd.tolist() == [True, False]
    assert records.fault_counts() == {"crowd": 1, "empty_labels": 1, "only_crowd": 1, "duplicate_id": 1}


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (_image(2, "absent.png"), "missing_picture"),
        (_image(2, ""), "missing_picture"),
        (_image(2, "."), "missing_picture"),
        ({"id": 2}, "missing_picture"),
        (_image(2, "x" * 5000), "missing_picture"),
        (_image(2, "broken.png"), "unreadable_picture"),
        (_image(2, "labels.json"), "unreadable_picture"),
        (_image(1, "b.png"), "duplicate_id"),
        (_image("x", "b.png"), "unreadable_labels"),
        (_image(2**70, "b.png"), "unreadable_labels"),
        (_image(True, "b.png"), "unreadable_labels"),
        (_image(2.5, "b.png"), "unreadable_labels"),
        (7, "unreadable_labels"),
        (_image(2, "../outside.png"), "unsafe_path"),
        (_image(2, "sub/../../outside.png"), "unsafe_path"),
        (_image(2, "/etc/hostname"), "unsafe_path"),
        (_image(2, "link.png"), "unsafe_path"),
        (_image(2, "linked/outside.png"), "unsafe_path"),
        (_image(2, "nul\0.png"), "unsafe_path"),
        (_image(2, "half\ud800.png"), "unsafe_path"),
    ],
)
def test_bad_picture_is_left_out_and_counted(tmp_path: Path, image: Any, kind: str) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    for path in (folder / "a.png", folder / "b.png", tmp_path / "outside.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "linked").symlink_to(tmp_path)
    content = _content(_box(1), images=[_image(1), image])
    records = _read(folder, content)
    assert records.files.tolist() == ["a.png"]
    assert records.fault_counts() == {kind: 1}
    assert "images[1]" in records.faults[0].where
    if kind in ("missing_picture", "unreadable_picture", "unsafe_path", "unreadable_labels"):
        with pytest.raises(DataError, match=r"labels\.json: strict.*images\[1\]"):
            _read(folder, content, strict=True)


@pytest.mark.parametrize("name", ["C:\\data\\a.png", "images\\a.png", "images/a.png", "/home/someone/a.png"])
def test_exporters_folders_are_forgiven(folder: Path, name: str) -> None:
    records = _read(folder, _content(_box(1), images=[_image(1, name)]))
    assert records.files.tolist() == ["a.png"]
    assert records.fault_counts() == {}


def test_ids_written_otherwise(folder: Path) -> None:
    records = _read(folder, _content(_box(1, image_id="1", category_id=3.0), images=[_image(1.0)]))
    assert records.image_ids.tolist() == [1]
    assert len(records.boxes) == 1


def test_reading_leaves_garbage_collection_as_it_was(folder: Path) -> None:
    assert gc.isenabled()
    _read(folder, _content(_box(1)))
    assert gc.isenabled()
    with pytest.raises(DataError):
        _read(folder, b"{")
    assert gc.isenabled()


# ---------------------------------------------------------------- size and orientation


def _oriented(folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png", exif=exif)


def test_labels_of_the_stored_picture_turn_with_it(folder: Path) -> None:
    _oriented(folder, 6)
    records = _read(folder, _content(_box(1, (5, 6, 10, 20))))
    assert (records.heights[0], records.widths[0]) == (WIDTH, HEIGHT)
    assert records.boxes.tolist() == [[HEIGHT - 26, 5, HEIGHT - 6, 15]]
    assert records.fault_counts() == {"rotated_labels": 1}


def test_labels_of_the_upright_picture_stay(folder: Path) -> None:
    _oriented(folder, 6)
    records = _read(folder, _content(_box(1), images=[_image(1, height=WIDTH, width=HEIGHT)]))
    assert records.boxes.tolist() == [[5, 6, 15, 26]]
    assert records.fault_counts() == {}


def test_wrong_size_is_counted_and_the_real_one_used(folder: Path) -> None:
    records = _read(folder, _content(_box(1), images=[_image(1, height=41)]))
    assert (records.heights[0], records.widths[0]) == (HEIGHT, WIDTH)
    assert records.fault_counts() == {"size_mismatch": 1}
    assert "60 x 41" in records.faults[0].message


# ---------------------------------------------------------------- the whole file


def test_byte_order_mark_and_utf16(folder: Path) -> None:
    text = json.dumps(_content(_box(1)))
    for content in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        assert len(_read(folder, content).boxes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"labels\.json:1: not JSON"),
        (b'{"images": [],\n"annotations": [,]}', r"labels\.json:2: not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"images": [' + b"9" * 5000 + b"]}", "not JSON"),
        (b"[]", "holds a list"),
        (b"7", "holds a int"),
        (b"{}", "'images' is missing"),
        (json.dumps(_content() | {"annotations": {}}).encode(), "'annotations' is a dict"),
        (json.dumps({"images": [], "annotations": []}).encode(), "'categories' is missing"),
        (json.dumps(_content(images=[])).encode(), "no picture"),
        (json.dumps(_content()).encode(), "no usable box"),
        (json.dumps(_content(_box(1, (0, 0, 0, 0)))).encode(), r"no usable box.*1 zero_size.*annotation 1"),
        (
            json.dumps(_content(_box(1), images=[_image(1, "c.png")])).encode(),
            r"no picture.*1 missing_picture",
        ),
    ],
)
def test_unusable_file(folder: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _read(folder, content)
    assert str(folder / "labels.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file_and_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: no such file"):
        read_coco(folder / "absent.json")
    with pytest.raises(DataError, match="no such folder of pictures"):
        _read(folder, _content(_box(1)), images=folder / "absent")
    with pytest.raises(DataError, match="cannot be read"):
        read_coco(folder)


_scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([1, 3, "a.png", 2**64]),
)
_junk = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _entries(**fields: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.one_of(st.fixed_dictionaries({}, optional=fields), _junk), max_size=4)


_files = st.fixed_dictionaries(
    {
        "images": _entries(id=_scalar, file_name=_scalar, height=_scalar, width=_scalar) | _junk,
        "annotations": _entries(
            id=_scalar,
            image_id=_scalar,
            category_id=_scalar,
            bbox=st.lists(_scalar, max_size=5) | _junk,
            area=_scalar,
            iscrowd=_junk,
        )
        | _junk,
        "categories": _entries(id=_scalar, name=_scalar) | _junk,
    }
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=_files | _junk, classes=st.none() | st.lists(st.text(max_size=3), max_size=3))
def test_any_json_gives_records_or_one_line(folder: Path, content: Any, classes: list[str] | None) -> None:
    _check_any(folder, json.dumps(content).encode(), classes)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_json_gives_records_or_one_line(folder: Path, data: st.DataObject) -> None:
    content = bytearray(json.dumps(_content(_box(1), _box(2, iscrowd=1))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _check_any(folder, bytes(content), None)


def _check_any(folder: Path, content: bytes, classes: list[str] | None) -> None:
    refusal = ""
    try:
        records = _read(folder, content, classes=classes)
    except DataError as error:
        refusal = str(error)
    if refusal:
        assert str(folder / "labels.json") in refusal
        assert len(refusal.splitlines()) == 1
        return
    assert np.isfinite(records.boxes).all()
    assert (records.boxes[:, 2:] > records.boxes[:, :2]).all()
    assert records.offsets[-1] == len(records.boxes) == len(records.labels) == len(records.area)
    assert ((records.labels >= 0) & (records.labels < len(records.classes.names))).all()
    assert all(len(fault.message.splitlines()) == 1 for fault in records.faults)
