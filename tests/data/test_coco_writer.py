"""Written COCO JSON reads back as it was, here and in pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from foveal.data.coco import read_coco
from foveal.data.coco_writer import write_coco
from foveal.data.records import Records
from foveal.data.voc import read_voc
from foveal.errors import DiskError


def _assert_same(one: Records, other: Records) -> None:
    for column in ("files", "image_ids", "heights", "widths", "offsets", "labels", "crowd", "area"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), err_msg=column)
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=1e-9)
    assert one.classes == other.classes


def test_round_trip_of_real_coco(shared: Path, tmp_path: Path) -> None:
    tiny = shared / "data" / "tinycoco_coco"
    records = read_coco(tiny / "annotations" / "instances_train2017.json", tiny / "images" / "train2017")
    write_coco(records, tmp_path / "new" / "labels.json")
    _assert_same(read_coco(tmp_path / "new" / "labels.json", records.root), records)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["labels.json"]


def test_voc_becomes_coco(shared: Path, tmp_path: Path) -> None:
    records = read_voc(shared / "data" / "playing_cards_voc_csv" / "images" / "test")
    write_coco(records, tmp_path / "labels.json")
    _assert_same(read_coco(tmp_path / "labels.json", records.root), records)


def test_pycocotools_loads_it(shared: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    records = read_coco(shared / "data" / "chess_coco" / "test" / "_annotations.coco.json")
    write_coco(records, tmp_path / "labels.json")
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = coco.COCO(str(tmp_path / "labels.json"))
    assert sorted(loaded.getImgIds()) == sorted(records.image_ids.tolist())
    assert sorted(loaded.getCatIds()) == sorted(records.classes.ids)
    assert len(loaded.getAnnIds()) == len(records.boxes)


def test_what_cannot_be_written_leaves_what_was_there(shared: Path, tmp_path: Path) -> None:
    records = read_coco(shared / "data" / "chess_coco" / "test" / "_annotations.coco.json")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(DiskError, match="cannot be written"):
        write_coco(records, tmp_path / "file" / "labels.json")
    assert (tmp_path / "file").read_text() == "kept"
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(DiskError):
        write_coco(records, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_second_writing_replaces_the_first(shared: Path, tmp_path: Path) -> None:
    records = read_coco(shared / "data" / "chess_coco" / "test" / "_annotations.coco.json")
    path = tmp_path / "labels.json"
    path.write_text("something else")
    write_coco(records, path)
    content = json.loads(path.read_text())
    assert content["annotations"][0].keys() >= {"id", "image_id", "category_id", "bbox", "area", "iscrowd"}
