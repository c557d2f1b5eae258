"""Drawn pictures: what is where, in which colour, and that no input stops them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.runtime.draw import Boxes, contact_sheet, draw_batch, draw_boxes
from foveal.runtime.palette import class_colour, name_colours, text_colour
from foveal.runtime.tags import MOST_COVERED, place_tags
from foveal.types import Batch, Letterbox, Target

GREY = np.full((200, 300, 3), 127, dtype=np.uint8)


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """WCAG 2.1 contrast of two colours."""
    lights = []
    for colour in (first, second):
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def test_the_outline_has_the_colour_and_the_rest_of_the_picture_stays() -> None:
    drawn = np.asarray(draw_boxes(GREY, [[100, 80, 200, 160]], ["cat"], colours=[(255, 0, 0)]))
    assert drawn.shape == GREY.shape
    assert (GREY == 127).all()
    for x, y in ((150, 80), (150, 159), (100, 120), (199, 120)):
        assert tuple(drawn[y, x]) == (255, 0, 0)
    assert (drawn[90:150, 110:190] == 127).all()
    assert (drawn[165:, 205:] == 127).all()
    # The tag sits on the box: some of the rows above its upper edge have its colour.
    assert (drawn[66:78, 100:140] == (255, 0, 0)).all(axis=2).any()


def test_every_kind_of_picture_and_of_box_is_taken() -> None:
    boxes = [[10, 40, 60, 90]]
    expected = np.asarray(draw_boxes(GREY, boxes, ["cat"], [0.5]))
    kinds = (torch.tensor(boxes), torch.tensor(boxes, dtype=torch.float16), np.array(boxes))
    for kind in kinds:
        drawn = draw_boxes(Image.fromarray(GREY), kind, ["cat"], np.array([0.5]))
        assert np.array_equal(np.asarray(drawn), expected)
    grey = draw_boxes(GREY[:, :, 0], boxes, ("cat",), torch.tensor([0.5]))
    assert np.array_equal(np.asarray(grey), expected)
    assert draw_boxes(Image.new("RGBA", (20, 20)), [], []).mode == "RGB"
    with pytest.raises(ValueError, match="uint8"):
        draw_boxes(GREY.astype(np.float32), boxes, ["cat"])


def test_awkward_boxes_and_names_do_not_crash() -> None:
    boxes = [
        [0, 0, 0, 0],
        [299, 199, 300, 200],
        [-50, -50, 900, 900],
        [250, 5, 251, 190],
        [200, 300, 400, 500],
    ]
    names = ["猫", "", "щит\nжизнь", "a very long name " * 20, "🐈\u202e\x00"]
    drawn = draw_boxes(GREY, boxes, names, [0.0, 1.0, 0.5, 0.25, 0.125])
    assert drawn.size == (300, 200)
    draw_boxes(np.zeros((1, 1, 3), dtype=np.uint8), [[0, 0, 1, 1]], ["cat"], [0.5])


def test_letters_of_many_scripts_are_drawn_apart() -> None:
    pictures = [
        draw_boxes(GREY, [[50, 50, 250, 150]], [name]).tobytes() for name in ("кот", "пёс", "όχι", "été")
    ]
    assert len(set(pictures)) == 4


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 boxes, 2 names"):
        draw_boxes(GREY, [[0, 0, 10, 10]], ["cat", "dog"])
    with pytest.raises(ValueError):
        draw_boxes(GREY, [[0, 0, 10, 10]], ["cat"], [0.5, 0.5])


def test_a_crowd_is_drawn_thin_and_broken() -> None:
    def edge(crowd: list[bool]) -> np.ndarray:
        drawn = np.asarray(
            draw_boxes(GREY, [[50, 60, 250, 190]], ["cat"], colours=[(255, 0, 0)], crowd=crowd)
        )
        return np.asarray(np.all(drawn[189, 60:240] == (255, 0, 0), axis=1))

    assert edge([False]).all()
    assert 0.2 < edge([True]).mean() < 0.8


def test_lines_and_letters_grow_with_the_picture() -> None:
    def painted(side: int) -> float:
        drawn = np.asarray(
            draw_boxes(np.zeros((side, side, 3), np.uint8), [[0.2 * side] * 2 + [0.8 * side] * 2], ["cat"])
        )
        return float((drawn.sum(axis=2) > 0).mean())

    assert painted(2000) == pytest.approx(painted(500), rel=0.5)


def test_palette_colours_differ_and_their_text_is_readable() -> None:
    colours = [class_colour(label) for label in range(40)]
    assert len(set(colours)) == 40
    assert all(contrast(colour, text_colour(colour)) >= 4.5 for colour in colours)
    # The same name has the same colour whatever comes after it.
    assert name_colours(["b", "a", "b"]) == {"b": colours[0], "a": colours[1]}


def test_the_first_colours_stay_apart_without_red_and_green() -> None:
    # Viénot, Brettel and Mollon 1999: linear RGB as protanopes and deuteranopes see it.
    views = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    linear = (np.array([class_colour(label) for label in range(7)]) / 255) ** 2.2
    for view in views.values():
        seen = np.clip(linear @ np.array(view).T, 0, 1) ** (1 / 2.2)
        assert min(np.abs(a - b).max() for a, b in combinations(seen, 2)) > 0.1


def test_tags_lie_inside_the_picture_and_off_each_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        corner = rng.uniform(0, 250, (15, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 120, (15, 2))], axis=1).clip(0, 300)
        places = place_tags(boxes, [(50, 14)] * 15, 300, 300, 2)
        kept = [place for place in places if place is not None]
        assert places[0] is not None
        assert all(0 <= x <= 250 and 0 <= y <= 286 for x, y in kept)
        for first, second in combinations(kept, 2):
            shared = max(0, 50 - abs(first[0] - second[0])) * max(0, 14 - abs(first[1] - second[1]))
            assert shared <= MOST_COVERED * 50 * 14


def test_a_tag_keeps_off_a_small_box() -> None:
    boxes = np.array([[100.0, 100, 200, 200], [105, 88, 115, 98]])
    place, _ = place_tags(boxes, [(40, 12)] * 2, 300, 300, 2)
    assert place == (99, 99)


def test_a_tag_moves_for_an_earlier_one_and_into_the_picture() -> None:
    same = np.array([[100.0, 100, 200, 200]] * 2)
    first, second = place_tags(same, [(40, 12)] * 2, 300, 300, 2)
    assert first == (99, 87)
    assert second is not None
    assert second != first
    (edge,) = place_tags(np.array([[280.0, 0, 300, 160]]), [(40, 12)], 300, 300, 2)
    assert edge == (260, 0)


def test_contact_sheet_shows_every_pair() -> None:
    truth, found = Boxes([[20, 20, 100, 100]], ["cat"]), Boxes([[22, 18, 98, 104]], ["dog"], [0.75])
    rows = [(GREY, truth, found, f"picture {n}.jpg") for n in range(3)]
    sheet = np.asarray(
        contact_sheet(rows, columns=2, header="Three pictures", names=["dog", "cat"], cell_width=150)
    )
    # Three pairs of grey pictures, 150 x 100 each, less what is drawn on them.
    grey = (sheet == 127).all(axis=2).sum()
    assert 0.6 * 6 * 150 * 100 < grey < 6 * 150 * 100
    for label in (0, 1):
        assert (sheet == class_colour(label)).all(axis=2).sum() > 3 * 150
    narrow = contact_sheet(rows, columns=1, cell_width=150)
    assert narrow.height > sheet.shape[0]
    assert narrow.width < sheet.shape[1]
    with pytest.raises(ValueError, match="no picture"):
        contact_sheet([])


def test_contact_sheet_holds_pictures_of_any_shape() -> None:
    tall = np.zeros((900, 90, 3), dtype=np.uint8)
    wide = np.zeros((5, 700, 3), dtype=np.uint8)
    nothing = Boxes([], [])
    sheet = contact_sheet([(tall, nothing, nothing, ""), (wide, nothing, nothing, "x" * 500)], columns=5)
    assert sheet.width < 2200
    assert sheet.height < 800


def test_draw_batch_scales_boxes_with_the_pictures() -> None:
    images = torch.full((3, 3, 64, 96), 127, dtype=torch.uint8)
    target = Target(torch.tensor([[32.0, 16, 64, 48]]), torch.tensor([1]), torch.tensor([False]))
    none = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
    letterbox = Letterbox(1.0, 1.0, 0.0, 0.0, 64, 96)
    batch = Batch(images, (target, none, target), (4, 5, 6), (letterbox,) * 3)
    sheet = np.asarray(draw_batch(batch, ["cat", "dog"], cell_width=192))
    blue = (sheet == class_colour(1)).all(axis=2)
    rows, columns = np.nonzero(blue[:, :220])
    # The first picture's box is 64 wide and high on the sheet, and starts 64 right of the picture.
    assert columns.min() == 24
    lines = np.flatnonzero(blue[:, :220].sum(axis=0) > 55)
    assert (lines.min(), lines.max()) == (24 + 64, 24 + 127)
    assert rows.size


def test_real_pictures_are_drawn(shared: Path) -> None:
    folder = shared / "data/tinycoco_coco"
    data = json.loads((folder / "annotations/instances_train2017.json").read_text())
    names = {category["id"]: category["name"] for category in data["categories"]}
    files = {path.name: path for path in (folder / "images").rglob("*.jpg")}
    for image in data["images"][:4]:
        mine = [row for row in data["annotations"] if row["image_id"] == image["id"]]
        boxes = np.array([row["bbox"] for row in mine], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        with Image.open(files[image["file_name"]]) as picture:
            drawn = draw_boxes(picture, boxes, [names[row["category_id"]] for row in mine])
            changed = (np.asarray(drawn) != np.asarray(picture.convert("RGB"))).any(axis=2).mean()
        assert 0 < changed < 0.4
