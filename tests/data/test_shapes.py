"""The generated data set: labels that fit the pixels, seeded, of any number of classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.data import shape_drawing as drawing
from foveal.data.shape_kinds import kinds, pose_points, shape_area
from foveal.data.shapes import LEAST_VISIBLE, Design, design_count, design_of, make_shapes, write_shapes
from foveal.data.split import take
from foveal.errors import UsageError


def drawn_extents(kind: str, pose: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Box and area of the pixels that drawing a shape changes."""
    canvas = np.zeros((size, size, 3), dtype=np.float32)
    rng = np.random.default_rng(0)
    drawing.draw_shape(canvas, kinds()[kind], pose, np.full(3, 255, np.float32), None, rng)
    coverage = canvas.max(-1) / 255
    rows, columns = np.flatnonzero(coverage.max(1) > 0.04), np.flatnonzero(coverage.max(0) > 0.04)
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)
    return box, float((coverage > 0.5).sum())


def test_boxes_fit_the_drawn_pixels_within_one_pixel() -> None:
    records = make_shapes(60, classes=len(kinds()), size=160, seed=3, empty_share=0)
    seen = set()
    for box, pose, design in zip(records.boxes, records.poses, records.designs, strict=True):
        kind = design_of(int(design)).kind
        seen.add(kind)
        drawn, _ = drawn_extents(kind, pose, 160)
        np.testing.assert_allclose(drawn, box, atol=1.0, err_msg=kind)
    assert seen == set(kinds()), "some kind was never drawn"


def test_area_is_that_of_the_drawn_pixels() -> None:
    for kind, shape in kinds().items():
        pose = np.array([100.0, 100.0, 70.0, 70.0, 0.4])
        _, pixels = drawn_extents(kind, pose, 200)
        assert shape_area(shape, pose) == pytest.approx(pixels, rel=0.04), kind


def test_every_object_stays_visible() -> None:
    records = make_shapes(80, classes=16, size=128, seed=1, empty_share=0)
    overlaps = 0
    for picture in range(len(records)):
        span = range(records.offsets[picture], records.offsets[picture + 1])
        owner = np.full((128, 128), -1)
        for row in span:
            canvas = np.zeros((128, 128, 3), dtype=np.float32)
            shape = kinds()[design_of(int(records.designs[row])).kind]
            white = np.full(3, 255, np.float32)
            drawing.draw_shape(canvas, shape, records.poses[row], white, None, np.random.default_rng(0))
            overlaps += bool((owner[canvas.max(-1) > 127] >= 0).any())
            owner[canvas.max(-1) > 100] = row
        for row in span:
            shape = kinds()[design_of(int(records.designs[row])).kind]
            visible = (owner == row).sum() / shape_area(shape, records.poses[row])
            assert visible > LEAST_VISIBLE - 0.15, (
                f"picture {picture}, row {row}"
            )  # thin shapes: whole pixels
    assert overlaps > 10, "nothing is ever occluded"


def test_pictures_are_deterministic_and_independent_of_the_set() -> None:
    small, large = make_shapes(5, seed=7), make_shapes(40, seed=7)
    np.testing.assert_array_equal(small.boxes, large.boxes[: len(small.boxes)])
    for picture in (4, 0, 4):
        np.testing.assert_array_equal(small.load(picture), large.load(picture))
    assert not np.array_equal(make_shapes(5, seed=8).load(0), small.load(0))
    assert make_shapes(3, seed=-1).load(0).shape == (160, 160, 3)


def test_a_part_of_the_set_draws_the_same_pictures() -> None:
    whole = make_shapes(12, seed=4)
    chosen = np.arange(12) % 3 == 1
    part = take(whole, chosen)
    for place, picture in enumerate(np.flatnonzero(chosen)):
        np.testing.assert_array_equal(part.load(place), whole.load(int(picture)))
        np.testing.assert_array_equal(part.rows(place).boxes, whole.rows(int(picture)).boxes)


def test_layout() -> None:
    records = make_shapes(400, classes=3, size=160, seed=0, empty_share=0.25)
    assert records.classes.names == ("red circle", "blue square", "yellow triangle")
    counts = np.diff(records.offsets)
    assert 0.18 < (counts == 0).mean() < 0.32
    assert (records.boxes >= 0).all()
    assert (records.boxes <= 160).all()
    sides = (records.boxes[:, 2:] - records.boxes[:, :2]).max(1)
    assert sides.min() < 20
    assert sides.max() > 85
    assert np.bincount(records.labels).min() > 0.25 * len(records.labels)
    assert records.load(0).dtype == np.uint8
    assert (np.diff(make_shapes(50, empty_share=0).offsets) > 0).all()
    assert len(make_shapes(5, empty_share=1).boxes) == 0


def test_designs_are_all_different() -> None:
    names = [design_of(index).name for index in range(design_count())]
    assert len(set(names)) == len(names) > 1203  # as many as LVIS has
    assert design_of(3) == Design("star", "green")


@pytest.mark.parametrize("classes", [1, 100, 1000])
def test_any_number_of_classes(classes: int) -> None:
    records = make_shapes(20, classes=classes, size=64)
    assert len(records.classes.names) == classes
    assert records.labels.max() < classes
    assert records.load(1).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "wrong", [{"pictures": 0}, {"classes": 0}, {"classes": 10**6}, {"size": 8}, {"empty_share": 1.5}]
)
def test_wrong_numbers_are_usage_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        make_shapes(**wrong)  # type: ignore[arg-type]


def test_shapes_of_one_kind_keep_their_colour_family() -> None:
    records = make_shapes(30, classes=3, size=160, seed=2, empty_share=0)
    for picture in range(10):
        pixels = records.load(picture)
        box, label, _ = (column[-1] for column in records.rows(picture))  # the last one lies on top
        row = records.offsets[picture + 1] - 1
        x, y = pose_points(np.zeros((1, 2)), records.poses[row])[0].astype(int)
        red, green, blue = (int(value) for value in pixels[y, x])
        assert [red > 2 * blue and red > 2 * green, blue > 1.5 * red, red > 2 * blue and green > 2 * blue][
            label
        ]
        assert box[0] < x < box[2]


def test_written_set_is_coco(tmp_path: Path) -> None:
    records = make_shapes(4, classes=2, size=64, seed=1, empty_share=0)
    annotations = json.loads(write_shapes(records, tmp_path / "set").read_text(encoding="utf-8"))
    assert len(annotations["annotations"]) == len(records.boxes)
    files = {image["id"]: image["file_name"] for image in annotations["images"]}
    with Image.open(tmp_path / "set" / "images" / Path(files[1]).name) as stored:
        np.testing.assert_array_equal(np.asarray(stored), records.load(0))
    first = annotations["annotations"][0]
    x1, y1, x2, y2 = records.boxes[0]
    np.testing.assert_allclose(first["bbox"], [x1, y1, x2 - x1, y2 - y1], atol=0.01)
