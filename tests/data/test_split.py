"""One set of labels -> two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.build import build_records
from foveal.config.schema import CocoSource, VocSource
from foveal.data.account import full_account
from foveal.data.coco import read_coco
from foveal.data.shapes import make_shapes, write_shapes
from foveal.data.split import held_out, split_source, take
from foveal.data.tiled import tile_records
from foveal.errors import DataError
from foveal.ops.tiles import Tiling


def test_a_fifth_is_held_out_by_name_alone() -> None:
    held = [held_out(f"{i}.jpg") for i in range(10_000)]
    assert 0.18 < sum(held) / len(held) < 0.22
    assert not any(held_out(f"{i}.jpg", 0.0) for i in range(100))
    assert all(held_out(f"{i}.jpg", 1.0) for i in range(100))


def test_take_keeps_boxes_with_their_picture() -> None:
    records = make_shapes(12, 3, 64, 0, 0.3)
    chosen = np.arange(12) % 3 == 0
    part = take(records, chosen)
    assert len(part) == 4
    for place, picture in enumerate(np.flatnonzero(chosen)):
        np.testing.assert_array_equal(part.rows(place).boxes, records.rows(int(picture)).boxes)
        np.testing.assert_array_equal(part.rows(place).labels, records.rows(int(picture)).labels)
    assert part.root == records.root == Path(records.root)


def test_take_keeps_the_windows_of_tiles() -> None:
    tiles = tile_records(make_shapes(4, 2, 128, seed=4), Tiling(64, 64, 0.25))
    chosen = np.arange(len(tiles)) % 5 == 1
    part = take(tiles, chosen)
    for place, tile in enumerate(np.flatnonzero(chosen).tolist()):
        np.testing.assert_array_equal(part.load(place), tiles.load(tile))
        np.testing.assert_array_equal(part.rows(place).boxes, tiles.rows(tile).boxes)


def test_take_leaves_the_account_behind(tmp_path: Path) -> None:
    with full_account():
        records = read_coco(write_shapes(make_shapes(4, 2, 64, seed=4), tmp_path), tmp_path / "images")
    assert records.account is not None
    assert take(records, np.arange(4) < 2).account is None


@pytest.mark.parametrize("spelled", [int, float, str])
def test_a_coco_split_has_every_picture_and_box_however_ids_are_written(
    tmp_path: Path, spelled: Callable[[int], object]
) -> None:
    path = write_shapes(make_shapes(12, 2, 64, seed=4), tmp_path)
    content = json.loads(path.read_text())
    for entry in content["images"]:
        entry["id"] = spelled(entry["id"])
    for entry in content["annotations"]:
        entry["image_id"] = spelled(entry["image_id"])
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    source = CocoSource(format="coco", annotations=str(path), images=str(tmp_path / "images"), crowd="drop")
    records = build_records(source)
    halves = split_source(source, records, tmp_path / "half")
    assert halves is not None
    for half in halves:
        half.path.write_text(half.text)
    again = [build_records(half.source) for half in halves]
    assert [part.files.tolist() for part in again] == [half.records.files.tolist() for half in halves]
    assert sum(len(part.boxes) for part in again) == len(records.boxes) == len(content["annotations"]) - 1


@pytest.mark.parametrize("stem", ["a\nb", " a", "a\r"])
def test_a_name_that_no_list_can_hold_is_an_error(tmp_path: Path, stem: str) -> None:
    for name in (stem, *(f"{number}" for number in range(20))):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.xml").write_text(
            "<annotation><object><name>dot</name><bndbox><xmin>4</xmin><ymin>1</ymin><xmax>60</xmax>"
            "<ymax>20</ymax></bndbox></object></annotation>"
        )
    source = VocSource(format="voc", annotations=str(tmp_path))
    with pytest.raises(DataError, match="cannot stand in a list of pictures") as caught:
        split_source(source, build_records(source), tmp_path / "half")
    assert "\n" not in str(caught.value)
