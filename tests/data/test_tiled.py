"""Tiles as pictures: what they show, in which order they come, and how often their pictures are decoded."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.config.schema import Augment
from foveal.data import tiled
from foveal.data.coco import read_coco
from foveal.data.loader import Loader, make_loader
from foveal.data.pictures import Loaded, Pictures
from foveal.data.records import Records
from foveal.data.sampler import Item
from foveal.data.shapes import ShapesRecords, make_shapes, write_shapes
from foveal.data.tiled import TiledRecords, numbered_tiles, tile_records
from foveal.data.voc import read_voc
from foveal.errors import DataError
from foveal.ops.tiles import Tiling

HALVES = Tiling(64, 64, 0.25)


def shapes(pictures: int = 6, size: int = 128) -> ShapesRecords:
    return make_shapes(pictures, 2, size, seed=4, empty_share=0.2)


def content(loader: Loader) -> list[tuple[bytes, bytes, bytes]]:
    return [
        (
            batch.images.numpy().tobytes(),
            b"".join(target.boxes.numpy().tobytes() for target in batch.targets),
            b"".join(target.crowd.numpy().tobytes() for target in batch.targets),
        )
        for batch in loader
    ]


def test_a_tile_has_the_pixels_and_boxes_of_its_window() -> None:
    whole = shapes()
    tiles = tile_records(whole, HALVES, min_visible=0)
    assert len(tiles) == 6 * 9
    assert set(tiles.heights) == set(tiles.widths) == {64}
    for tile in range(len(tiles)):
        picture = int(tiles.picture[tile])
        x1, y1, x2, y2 = tiles.windows[tile].tolist()
        assert np.array_equal(tiles.load(tile), whole.load(picture)[y1:y2, x1:x2])
        assert tiles.image_ids[tile] == whole.image_ids[picture]
        assert tiles.path(tile) == whole.path(picture)
        expected = [
            ([max(a - x1, 0), max(b - y1, 0), min(c, x2) - x1, min(d, y2) - y1], label)
            for (a, b, c, d), label in zip(whole.rows(picture).boxes, whole.rows(picture).labels, strict=True)
            if a < x2 and c > x1 and b < y2 and d > y1
        ]
        rows = tiles.rows(tile)
        assert rows.labels.tolist() == [label for _, label in expected]
        np.testing.assert_allclose(rows.boxes, np.array([box for box, _ in expected]).reshape(-1, 4))


def one_picture(boxes: list[list[float]], crowd: list[bool] | None = None) -> ShapesRecords:
    """A picture of 100 x 100 with these boxes instead of its own."""
    whole = make_shapes(1, 1, 100, seed=0, empty_share=0)
    columns = {
        "offsets": np.array([0, len(boxes)]),
        "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "labels": np.zeros(len(boxes), dtype=np.int64),
        "crowd": np.array(crowd or [False] * len(boxes)),
        "area": np.full(len(boxes), 50.0),
    }
    return dataclasses.replace(whole, **columns)


def test_a_box_of_which_too_little_shows_is_a_region_to_ignore() -> None:
    """Tiles 0..60 and 40..100 of the rows; the first box shows 20 of its 50 rows in the first tile."""
    whole = one_picture([[10, 40, 30, 90], [50, 10, 60, 30], [0, 30, 9, 61]], [False, True, False])
    tiles = tile_records(whole, Tiling(60, 100, 0.2), min_visible=0.5)
    assert tiles.rows(0).boxes.tolist() == [[10, 40, 30, 60], [50, 10, 60, 30], [0, 30, 9, 60]]
    assert tiles.rows(0).crowd.tolist() == [True, True, False]
    assert tiles.rows(1).boxes.tolist() == [[10, 0, 30, 50], [0, 0, 9, 21]]
    assert tiles.rows(1).crowd.tolist() == [False, False]
    assert tiles.area.tolist() == pytest.approx([20, 50, 50 * 30 / 31, 50, 50 * 21 / 31])
    # The share itself still counts as seen.
    assert not tile_records(whole, Tiling(60, 100, 0.2), min_visible=0.4).rows(0).crowd[0]
    # Only whole boxes are objects; one that is whole is one at any setting.
    strict = tile_records(whole, Tiling(60, 100, 0.2), min_visible=1)
    assert [strict.rows(tile).crowd.tolist() for tile in (0, 1)] == [[True, True, True], [False, True]]


def test_a_sliver_is_no_object_whatever_its_share() -> None:
    tiles = tile_records(one_picture([[59.5, 0, 61, 20]]), Tiling(100, 60, 0), min_visible=0.1)
    assert tiles.rows(0).boxes.tolist() == [[59.5, 0, 60, 20]]
    assert tiles.rows(0).crowd.tolist() == [True]
    assert tiles.rows(1).crowd.tolist() == [False]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_empty_tiles_is_kept_and_every_other_one(share: float) -> None:
    whole = shapes(20)
    everything = tile_records(whole, HALVES)
    some = tile_records(whole, HALVES, keep_empty=share)

    def empty(tiles: TiledRecords) -> np.ndarray:
        return np.array([not (~tiles.rows(tile).crowd).any() for tile in range(len(tiles))])

    assert 0 < empty(everything).sum() < len(everything)
    assert empty(some).sum() == round(share * empty(everything).sum())
    assert (~empty(some)).sum() == (~empty(everything)).sum()
    again = tile_records(whole, HALVES, keep_empty=share)
    assert np.array_equal(again.windows, some.windows)


def test_pictures_no_larger_than_a_tile_train_as_without_tiles() -> None:
    """Empty ones included, to the last byte and id."""
    whole = make_shapes(10, 2, 64, seed=4, empty_share=0.5)
    assert 0 < (np.diff(whole.offsets) == 0).sum() < 10
    tiles = tile_records(whole, HALVES, min_visible=0.9, keep_empty=0)
    augment = Augment(scale_jitter=(0.5, 1.5), crop=0.5, colour=0.5)
    loaders = [
        make_loader(records, (64, 96), 4, augment=augment, train=False, workers=0, seed=2)
        for records in (whole, tiles)
    ]
    assert content(loaders[0]) == content(loaders[1])
    ids = [[i for batch in loader for i in batch.image_ids] for loader in loaders]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("form", ["coco", "voc", "shapes"])
def test_every_format_can_be_tiled(form: str, tmp_path: Path) -> None:
    whole: Records
    if form == "coco":
        write_shapes(shapes(3), tmp_path)
        whole = read_coco(tmp_path / "annotations.json", tmp_path / "images")
    elif form == "voc":
        Image.fromarray(shapes(1).load(0)).save(tmp_path / "a.png")
        (tmp_path / "a.xml").write_text(
            "<annotation><object><name>dot</name><bndbox><xmin>41</xmin><ymin>1</ymin><xmax>60</xmax>"
            "<ymax>20</ymax></bndbox></object></annotation>"
        )
        whole = read_voc(tmp_path)
    else:
        whole = shapes(3)
    batches = list(make_loader(numbered_tiles(whole, HALVES), (64, 64), 4, train=False, workers=0))
    images = np.concatenate([batch.images.permute(0, 2, 3, 1).numpy() for batch in batches])
    assert len(images) == 9 * len(whole)
    assert np.array_equal(images[0], whole.load(0)[:64, :64])
    assert [i for batch in batches for i in batch.image_ids] == list(range(len(images)))


# ------------------------------------------------------------ order and decoding


def train_loader(tiles: Records, workers: int = 0, **options: bool) -> Loader:
    augment = Augment(colour=0.5, scale_jitter=(0.8, 1.2))
    return make_loader(tiles, (64, 64), 4, augment=augment, train=True, seed=3, workers=workers, **options)


def test_workers_do_not_matter_and_resume_is_exact() -> None:
    tiles = tile_records(shapes(8), HALVES, keep_empty=0.5)
    alone, two = train_loader(tiles), train_loader(tiles, 2)
    expected = [content(alone), content(alone)]
    assert expected == [content(two), content(two)]
    assert expected[0] != expected[1]
    stopped = train_loader(tiles)
    batches = iter(stopped)
    for _ in range(3):
        next(batches)
    resumed = train_loader(tiles, 2)
    resumed.load_state_dict(stopped.state_dict())
    assert content(resumed) == expected[0][3:]


class Counting(ShapesRecords):
    """Shapes that note what is decoded."""

    seen: list[int] = []  # noqa: RUF012

    def load(self, picture: int) -> np.ndarray:
        self.seen.append(picture)
        return super().load(picture)


def counting(pictures: int) -> Counting:
    whole = shapes(pictures, 128)
    Counting.seen.clear()
    return Counting(**{field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)})


@pytest.mark.parametrize("aware", [False, True])
def test_an_epoch_mixes_pictures_and_decodes_hardly_one_twice(aware: bool) -> None:
    tiles = tile_records(counting(40), HALVES)
    loader = train_loader(tiles, class_aware=aware)
    drawn = np.array([item.picture for batch in loader.batch_sampler for item in batch])
    order = tiles.picture[drawn]
    if not aware:
        assert sorted(drawn.tolist()) == sorted(set(drawn.tolist()))
        assert len(drawn) == len(tiles)
    # A batch of neighbours in the order shows several pictures, and the whole order is no picture after the other.
    assert np.mean([len(set(order[i : i + 16])) for i in range(0, 320, 16)]) > 4
    assert len(set(order[:16])) > 4
    assert content(loader)
    # Those of the last turns come at the beginning, too.
    assert len(Counting.seen) <= len(set(Counting.seen)) + tiled.MOST_MIXED
    first = order
    loader.set_epoch(1)
    second = [item.picture for batch in loader.batch_sampler for item in batch]
    assert second != first.tolist()


def test_large_pictures_are_mixed_less_and_the_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = 128 * 128 * 3
    tiles = tile_records(counting(10), HALVES)
    assert tiles.mixed == tiled.MOST_MIXED
    monkeypatch.setattr(tiled, "CACHE_BYTES", 4 * picture)
    assert tiles.mixed == 2
    content(train_loader(tiles))
    assert len(Counting.seen) <= 12
    assert len(tiles.decoded._held) == 4
    monkeypatch.setattr(tiled, "CACHE_BYTES", picture // 2)
    tiles = tile_records(counting(2), HALVES)
    assert tiles.mixed == 1
    tiles.load(0)
    tiles.load(9)
    assert list(tiles.decoded._held) == [1]


def test_a_spawned_worker_decodes_for_itself() -> None:
    tiles = tile_records(shapes(2), HALVES)
    tiles.load(0)
    copy = pickle.loads(pickle.dumps(tiles))  # noqa: S301 - our own bytes
    assert not copy.decoded._held
    assert np.array_equal(copy.load(0), tiles.load(0))


def test_changing_a_loaded_tile_changes_no_other() -> None:
    tiles = tile_records(shapes(1), HALVES)
    before = tiles.load(1).copy()
    tiles.load(0)[:] = 0
    assert np.array_equal(tiles.load(1), before)


class Broken(ShapesRecords):
    """Shapes of which the second picture cannot be read."""

    def load(self, picture: int) -> np.ndarray:
        if picture == 1:
            raise DataError(f"{self.path(picture)}: truncated")
        return super().load(picture)


def broken() -> Broken:
    whole = shapes(4)
    return Broken(**{field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)})


def test_tiles_of_an_unreadable_picture_are_replaced_by_those_of_the_next_and_reported_once() -> None:
    loader = train_loader(tile_records(broken(), HALVES))
    ids = [i for _ in range(2) for batch in loader for i in batch.image_ids]
    assert set(ids) == {1, 3, 4}
    assert len(loader.unreadable) == 1
    assert "shape_000002.png: truncated" in loader.unreadable[0]
    # Each by the tile at its own place, not all by the same one.
    tiles = tile_records(broken(), HALVES)
    pictures = Pictures(tiles, None, 0, "next")
    for place in (9, 13, 17):
        loaded = pictures[Item(place, 0, 0, (64, 64))]
        assert isinstance(loaded, Loaded)
        assert np.array_equal(loaded.sample.image.permute(1, 2, 0).numpy(), tiles.load(place + 9))


def test_tiles_of_an_unreadable_picture_are_blank_in_evaluation() -> None:
    tiles = numbered_tiles(broken(), HALVES)
    loader = make_loader(tiles, (64, 64), 9, train=False, workers=0)
    batches = list(loader)
    assert [batch.image_ids for batch in batches] == [tuple(range(9 * p, 9 * p + 9)) for p in range(4)]
    assert len(set(batches[1].images.flatten().tolist())) == 1
    assert len(loader.unreadable) == 1


def test_strict_names_the_picture() -> None:
    loader = make_loader(tile_records(broken(), HALVES), (64, 64), 4, train=True, workers=0, strict=True)
    with pytest.raises(DataError, match=r"^[^\n]*shape_000002.png: truncated$"):
        list(loader)
