"""Every kind of damage, done on purpose to a sound set: found, named by rule, at its place, and mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.diagnosis.doctor.damage import Damage, check_copy, grave, told
from tests.diagnosis.doctor.sets import (
    SIDE,
    WIDTH,
    Content,
    read_labels,
    write_labels,
    write_voc_sheet,
    write_yolo_set,
)

from foveal.errors import DataError
from foveal.verbs.doctor import examine, write_fixed

Row = dict[str, Any]


# ---------------------------------------------------------------- boxes


def _box(number: int, bbox: list[float]) -> Callable[[Content, Path], None]:
    return lambda content, _: content["annotations"][number].update(bbox=bbox)


def _every(change: Callable[[float, float, float, float], list[float]]) -> Callable[[Content, Path], None]:
    def do(content: Content, _: Path) -> None:
        for row in content["annotations"]:
            row["bbox"] = change(*row["bbox"])

    return do


def _again(content: Content, _: Path) -> None:
    content["annotations"].append({**content["annotations"][5], "id": 9001})


def _nearly_again(content: Content, _: Path) -> None:
    row = max(content["annotations"], key=lambda row: float(row["bbox"][2]))
    x, y, width, height = row["bbox"]
    content["annotations"].append({**row, "id": 9002, "bbox": [x, y, width * 0.99, height]})


def _as_other_class(content: Content, _: Path) -> None:
    row = content["annotations"][5]
    content["annotations"].append({**row, "id": 9003, "category_id": row["category_id"] % 3 + 1})


def _all_at_one_place(content: Content, _: Path) -> None:
    for row in content["annotations"]:
        if row["category_id"] == 1:
            row["bbox"] = [20.0, 20.0, 30.0, 30.0]


def _one_based(content: Content, _: Path) -> None:
    for row in content["annotations"]:
        x, y, width, height = (round(value) for value in row["bbox"])
        row["bbox"] = [x + 1, y + 1, width, height]
    for row in content["annotations"][:8]:
        row["bbox"] = [1, 1, row["bbox"][2], row["bbox"][3]]
    for row in content["annotations"][8:16]:
        row["bbox"][0] = WIDTH + 1 - row["bbox"][2]


def _smaller_copy(content: Content, _: Path) -> None:
    for row in content["annotations"]:
        row["bbox"] = [value / 2 for value in row["bbox"]]
    for image in content["images"]:
        image["height"], image["width"] = SIDE // 2, WIDTH // 2


def _larger_copy(content: Content, _: Path) -> None:
    for row in content["annotations"]:
        row["bbox"] = [value * 1.5 for value in row["bbox"]]
    for image in content["images"]:
        image["height"], image["width"] = SIDE * 3 // 2, WIDTH * 3 // 2


# ---------------------------------------------------------------- classes


def _rename_some(name: str, share: int = 10) -> Callable[[Content, Path], None]:
    """A tenth of a class under another name."""

    def do(content: Content, _: Path) -> None:
        content["categories"].append({"id": 77, "name": name})
        rows = [row for row in content["annotations"] if row["category_id"] == 1]
        for row in rows[:: len(rows) // share]:
            row["category_id"] = 77

    return do


def _rare(content: Content, _: Path) -> None:
    rows = [row for row in content["annotations"] if row["category_id"] == 3]
    content["annotations"] = [row for row in content["annotations"] if row not in rows[4:]]


def _never_trained(content: Content, _: Path) -> None:
    content["annotations"] = [row for row in content["annotations"] if row["category_id"] != 2]


# ---------------------------------------------------------------- pictures


def _cut(content: Content, images: Path) -> None:
    path = images / content["images"][3]["file_name"]
    path.write_bytes(path.read_bytes()[:-1500])


def _no_picture_at_all(content: Content, images: Path) -> None:
    (images / content["images"][3]["file_name"]).write_bytes(b"this is text")


def _jpeg_called_png(content: Content, images: Path) -> None:
    path = images / content["images"][3]["file_name"]
    Image.open(path).save(path, "JPEG", quality=95)


def _copy_of(source: int, target: int, part: str = "train") -> Callable[[Content, Path], None]:
    def do(content: Content, images: Path) -> None:
        there = images.parent / part
        name = sorted(there.iterdir())[source].name
        shutil.copyfile(there / name, images / content["images"][target]["file_name"])

    return do


def _recompressed_leak(content: Content, images: Path) -> None:
    other = sorted((images.parent / "val").iterdir())[2]
    smaller = Image.open(other).resize((WIDTH * 2 // 3, SIDE * 2 // 3)).resize((WIDTH, SIDE))
    smaller.point(lambda value: min(255, int(value * 0.9 + 20))).save(
        images / content["images"][6]["file_name"]
    )


def _twice_with_same_boxes(content: Content, images: Path) -> None:
    _copy_of(0, 1)(content, images)
    first, second = (content["images"][place]["id"] for place in (0, 1))
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != second]
    rows = [row for row in content["annotations"] if row["image_id"] == first]
    content["annotations"] += [
        {**row, "id": 8000 + place, "image_id": second} for place, row in enumerate(rows)
    ]


def _augmented(content: Content, images: Path) -> None:
    """Names as Roboflow writes them: one original in train and in val."""
    labels = images.parent.parent / "annotations" / "instances_val.json"
    text = labels.read_text()
    val = sorted((images.parent / "val").iterdir())[0]
    val.rename(val.with_name("photo_jpg.rf.aaaa.png"))
    labels.write_text(text.replace(val.name, "photo_jpg.rf.aaaa.png"))
    old = content["images"][0]["file_name"]
    (images / old).rename(images / "photo_jpg.rf.bbbb.png")
    content["images"][0]["file_name"] = "photo_jpg.rf.bbbb.png"


def _link_out(content: Content, images: Path) -> None:
    content["images"][3]["file_name"] = "../../../elsewhere.png"
    Image.new("RGB", (WIDTH, SIDE)).save(images.parent.parent.parent / "elsewhere.png")


def _huge_beside(content: Content, images: Path) -> None:
    name = content["images"][3]["file_name"]
    image = Image.open(images / name)
    image.resize((WIDTH * 3, SIDE * 3)).save(images / name)
    content["images"][3].update(height=SIDE * 3, width=WIDTH * 3)


def _modes(content: Content, images: Path) -> None:
    for place, mode in ((0, "L"), (1, "I;16")):
        path = images / content["images"][place]["file_name"]
        grey = np.asarray(Image.open(path).convert("L"))
        Image.fromarray(grey if mode == "L" else grey.astype(np.uint16) * 256).save(path)


def _forget_most(content: Content, _: Path) -> None:
    ids = {image["id"] for image in content["images"][:12]}
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] in ids]


def _sides_swapped(content: Content, _: Path) -> None:
    """Wide boxes low in the right corner, with height and width in each other's place."""
    for number, row in enumerate(content["annotations"]):
        row["bbox"] = [84.0, 80.0 + number % 2, 14.0, 60.0]


def _few_to_measure(_: Content, images: Path) -> None:
    folder = images.parent.parent
    content = read_labels(folder, "val")
    rows = [row for row in content["annotations"] if row["category_id"] == 3]
    content["annotations"] = [row for row in content["annotations"] if row not in rows[1:]]
    write_labels(folder, "val", content)


def _turned(content: Content, images: Path) -> None:
    """Labels of the picture as it is stored, and an orientation by which it is seen on its side."""
    path = images / content["images"][3]["file_name"]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)


def _all_crowd(content: Content, _: Path) -> None:
    for row in content["annotations"]:
        if row["image_id"] == content["images"][3]["id"]:
            row["iscrowd"] = 1


def _name_of_val(content: Content, images: Path) -> None:
    (images / content["images"][3]["file_name"]).rename(images / "1_003.png")
    content["images"][3]["file_name"] = "1_003.png"


def _update(list_: str, place: int, **values: Any) -> Callable[[Content, Path], None]:
    return lambda content, _: content[list_][place].update(values)


DAMAGES = {
    "width 0": Damage(_box(7, [10, 10, 0, 20]), "zero_size", "annotation 8"),
    "nan": Damage(_box(7, [10, float("nan"), 5, 20]), "bad_number", "annotation 8"),
    "text": Damage(_update("annotations", 7, bbox=["a", 1, 2, 3]), "bad_number", "annotation 8"),
    "outside": Damage(_box(7, [500, 10, 20, 20]), "outside", "annotation 8"),
    "over the edge": Damage(_box(7, [WIDTH - 20, 10, 40, 20]), "clipped", "annotation 8"),
    "one pixel": Damage(_box(7, [10, 10, 1, 1]), "tiny_box", "annotation 8"),
    "a line": Damage(_box(7, [10, 10, 100, 4]), "thin_box", "annotation 8"),
    "box twice": Damage(_again, "duplicate_box", "annotation 9001"),
    "box nearly twice": Damage(_nearly_again, "near_duplicate_box", "annotation 9002"),
    "two classes": Damage(_as_other_class, "two_classes", "annotation 9003"),
    "corners as bbox": Damage(
        _every(lambda x, y, w, h: [x, y, x + w, y + h]), "xyxy_as_xywh", "as two corners"
    ),
    "centre as corner": Damage(_every(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]), "centre_as_corner"),
    "x and y swapped": Damage(_every(lambda x, y, w, h: [y, x, h, w]), "transposed_boxes"),
    "shares of 1": Damage(
        _every(lambda x, y, w, h: [x / WIDTH, y / SIDE, w / WIDTH, h / SIDE]), "normalised_boxes"
    ),
    "labels of half the size": Damage(_smaller_copy, "resized_boxes", "by 2 (x) and 2 (y)"),
    "labels of a larger copy": Damage(_larger_copy, "resized_boxes", "by 0.6667 (x)"),
    "twice as large, unsaid": Damage(
        _every(lambda *box: [2 * v for v in box]), "resized_boxes", "larger", False
    ),
    "half as large, unsaid": Damage(_every(lambda *box: [v / 2 for v in box]), "one_corner"),
    "from 1": Damage(_one_based, "off_by_one"),
    "all at one place": Damage(_all_at_one_place, "same_place", "[20, 20, 50, 50]"),
    "unknown class": Damage(_update("annotations", 7, category_id=99), "unknown_class", "annotation 8"),
    "case": Damage(_rename_some("RED CIRCLE"), "similar_classes", "differ by case"),
    "plural": Damage(_rename_some("red circles"), "similar_classes", "a plural"),
    "space": Damage(_rename_some("red_circle"), "similar_classes", "spaces or signs"),
    "a letter": Damage(_rename_some("red circel", 4), "similar_classes", "a letter"),
    "background": Damage(_rename_some("background"), "background_class", "background"),
    "few of a class": Damage(_rare, "few_boxes", "1 of 3 classes with fewer than 10 boxes"),
    "class not trained": Damage(_never_trained, "class_not_trained", "none in train", False),
    "class not measured": Damage(_rename_some("stranger", 12), "class_not_measured", "stranger"),
    "cut short": Damage(_cut, "broken_picture", "0_003.png"),
    "text for a picture": Damage(_no_picture_at_all, "unreadable_picture", "images[3]"),
    "wrong extension": Damage(_jpeg_called_png, "wrong_extension", "0_003.png"),
    "picture gone": Damage(_update("images", 3, file_name="gone.png"), "missing_picture", "images[3]"),
    "outside the folder": Damage(_link_out, "unsafe_path", "images[3]"),
    "wrong size stated": Damage(_update("images", 3, width=WIDTH + 7), "size_mismatch", "images[3]"),
    "sides stated swapped": Damage(
        _update("images", 3, width=SIDE, height=WIDTH), "stated_transposed", "0_003"
    ),
    "image id twice": Damage(_update("images", 3, id=3), "duplicate_id", "images[3]"),
    "annotation of nothing": Damage(_update("annotations", 7, image_id=555), "orphan_label", "annotation 8"),
    "leak": Damage(_copy_of(2, 6, "val"), "leaked_picture", "0_006.png"),
    "leak, recompressed": Damage(_recompressed_leak, "near_leak", "1_002.png"),
    "picture twice": Damage(_twice_with_same_boxes, "duplicate_picture", "0_001.png"),
    "picture twice, labels differ": Damage(_copy_of(0, 1), "conflicting_labels", "0_001.png"),
    "one original in two parts": Damage(_augmented, "same_origin", "photo_jpg.rf"),
    "width and height swapped": Damage(_sides_swapped, "swapped_sides", "width and height swapped"),
    "few to measure": Damage(
        _few_to_measure, "few_boxes_to_measure", "1 of 3 classes with fewer than 5 boxes"
    ),
    "pictures without labels": Damage(_forget_most, "mostly_empty", "32 of 44"),
}
NOTES = {
    "crowd": Damage(_update("annotations", 7, iscrowd=1), "crowd", "annotation 8"),
    "labels before the turn": Damage(_turned, "rotated_labels", "orientation 6"),
    "turned": Damage(_turned, "exif_rotation", "1 of 44 pictures"),
    "crowd alone": Damage(_all_crowd, "only_crowd", "0_003.png"),
    "one name twice": Damage(_name_of_val, "same_name", "1 name in two parts"),
    "mask area": Damage(_update("annotations", 7, area=3.0), "mask_area", "1 of"),
    "whole picture": Damage(_box(7, [0, 0, WIDTH, SIDE]), "huge_box", "annotation 8"),
    "larger picture": Damage(_huge_beside, "mixed_sizes", "432 x 288"),
    "grey and 16 bits": Damage(_modes, "colour_modes", "1 L"),
    "id 0": Damage(lambda c, _: c["categories"].append({"id": 0, "name": "x"}), "ids_from_zero", "'x'"),
    "gap": Damage(lambda c, _: c["categories"].append({"id": 9, "name": "x"}), "ids_with_gaps", "5 missing"),
    "unused": Damage(
        lambda c, _: c["categories"].append({"id": 9, "name": "x"}), "class_without_boxes", "'x'"
    ),
}


def _damaged(coco: Path, folder: Path, damage: Damage) -> Path:
    target = folder / "set"
    shutil.copytree(coco, target)
    content = read_labels(target, "train")
    damage.do(content, target / "images" / "train")
    write_labels(target, "train", content)
    return target


def test_a_sound_set_has_no_error_and_no_warning(coco: Path, voc: Path) -> None:
    for folder in (coco, voc):
        assert list(grave(examine(folder).report)) == []


def test_there_are_thirty_kinds() -> None:
    assert len({damage.rule for damage in (*DAMAGES.values(), *NOTES.values())}) >= 30


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(name: str, coco: Path, tmp_path: Path) -> None:
    damage = DAMAGES[name]
    folder = _damaged(coco, tmp_path, damage)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = examine(folder)
    assert told(found.report, damage), list(grave(found.report))
    check_copy(found, tmp_path / "copy", damage)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NOTES)
def test_what_is_good_to_know_is_a_note(name: str, coco: Path, tmp_path: Path) -> None:
    report = examine(_damaged(coco, tmp_path, NOTES[name])).report
    assert told(report, NOTES[name])
    assert list(grave(report)) == []


# ---------------------------------------------------------------- VOC


def _rewrite(
    folder: Path, change: Callable[[float, float, float, float], tuple[float, ...]], only: slice = slice(None)
) -> None:
    """Every box of train with other numbers."""
    import defusedxml.ElementTree as ElementTree

    for path in sorted((folder / "train").glob("*.xml"))[only]:
        root = ElementTree.parse(path).getroot()
        objects = [
            (
                entry.findtext("name"),
                change(*(float(entry.findtext(f"bndbox/{s}")) for s in ("xmin", "ymin", "xmax", "ymax"))),
            )
            for entry in root.iter("object")
        ]
        write_voc_sheet(path.with_suffix(".png"), objects)


VOC: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "xywh": (
        lambda f: _rewrite(f, lambda a, b, c, d: (a, b, c - a + 1, d - b + 1)),
        "xywh_as_xyxy",
        "have x2 <= x1 or y2 <= y1; as x, y, width, height 0% do not fit",
    ),
    "columns x x y y": (lambda f: _rewrite(f, lambda a, b, c, d: (a, c, b, d)), "column_order", ""),
    "corners swapped": (lambda f: _rewrite(f, lambda a, b, c, d: (c, d, a, b)), "swapped_corners", ""),
    "shares": (
        lambda f: _rewrite(f, lambda a, b, c, d: (a / WIDTH, b / SIDE, c / WIDTH, d / SIDE)),
        "normalised_boxes",
        "",
    ),
    "0-based": (
        lambda f: _rewrite(
            f, lambda a, b, c, d: (0, b - 1, c - 1, d - 1) if a < 40 else (a - 1, b - 1, WIDTH - 1, d - 1)
        ),
        "zero_based",
        "",
    ),
    "no sheet": (lambda f: (f / "train" / "0_005.xml").unlink(), "no_label_file", "0_005.png"),
    "no picture": (lambda f: (f / "train" / "0_005.png").unlink(), "orphan_label", "0_005.xml"),
    "broken sheet": (
        lambda f: (f / "train" / "0_005.xml").write_text("<annot"),
        "unreadable_labels",
        "0_005",
    ),
    "two pictures of one stem": (
        lambda f: Image.open(f / "train" / "0_005.png").save(f / "train" / "0_005.jpg"),
        "duplicate_id",
        "0_005",
    ),
    "entity": (
        lambda f: (f / "train" / "0_005.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'),
        "unreadable_labels",
        "refused",
    ),
}


@pytest.mark.parametrize("name", VOC)
def test_damage_to_voc_is_found_and_named(name: str, voc: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(voc, folder)
    do, rule, where = VOC[name]
    do(folder)
    found = examine(folder)
    damage = Damage(lambda *_: None, rule, where)
    assert told(found.report, damage), list(grave(found.report))
    check_copy(found, tmp_path / "copy", damage)


# ---------------------------------------------------------------- YOLO


def _every_line(folder: Path, change: Callable[[float, float, float, float], tuple[float, ...]]) -> None:
    for path in (folder / "train" / "labels").glob("*.txt"):
        lines = []
        for line in path.read_text().splitlines():
            label, *numbers = line.split()
            x, y, width, height = map(float, numbers)
            lines.append(" ".join([label, *map(str, change(x, y, width, height))]))
        path.write_text("\n".join(lines))


def _append(folder: Path, line: str) -> None:
    with (folder / "train" / "labels" / "0_005.txt").open("a") as file:
        file.write(line + "\n")


YOLO: dict[str, tuple[Callable[[Path], object], str, str, bool]] = {
    "corner for centre": (
        lambda f: _every_line(f, lambda x, y, w, h: (x - w / 2, y - h / 2, w, h)),
        "corner_as_centre",
        "as corner, width, height 0%",
        True,
    ),
    "pixels": (
        lambda f: _every_line(f, lambda x, y, w, h: (x * WIDTH, y * SIDE, w * WIDTH, h * SIDE)),
        "pixel_boxes",
        "in pixels they fit as cx cy width height",
        True,
    ),
    "pixels of corners": (
        lambda f: _every_line(
            f,
            lambda x, y, w, h: (
                (x - w / 2) * WIDTH,
                (y - h / 2) * SIDE,
                (x + w / 2) * WIDTH,
                (y + h / 2) * SIDE,
            ),
        ),
        "pixel_boxes",
        "in pixels they fit as x1 y1 x2 y2",
        True,
    ),
    "pixels of half of the files": (
        lambda f: _every_line(
            f, lambda x, y, w, h: (x * WIDTH, y * SIDE, w * WIDTH, h * SIDE) if x < 0.5 else (x, y, w, h)
        ),
        "pixel_boxes",
        "have not",
        True,
    ),
    "text": (lambda f: _append(f, "0 a b c d"), "bad_number", "0_005.txt", True),
    "class of another set": (lambda f: _append(f, "9 .5 .5 .2 .2"), "unknown_class", "0_005.txt", True),
    "nan": (lambda f: _append(f, "0 nan .5 .2 .2"), "bad_number", "0_005.txt", True),
    "outside": (lambda f: _append(f, "0 1.5 .5 .2 .2"), "outside", "0_005.txt", True),
    "no file": (lambda f: (f / "train/labels/0_005.txt").unlink(), "no_label_file", "0_005", True),
    "outline": (lambda f: _append(f, "0 .2 .2 .5 .2 .5 .6 .2 .6"), "polygon", "0_005.txt", True),
    "names": (
        lambda f: (f / "data.yaml").write_text((f / "data.yaml").read_text().replace("nc: 3", "nc: 7")),
        "class_list",
        "data.yaml",
        True,
    ),
    "no picture": (lambda f: (f / "train/images/0_005.png").unlink(), "orphan_label", "0_005.txt", True),
}


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory, coco: Path) -> Path:
    folder = tmp_path_factory.mktemp("yolo") / "set"
    write_yolo_set(folder, coco)
    return folder


def test_a_sound_yolo_set_has_no_error_and_no_warning(yolo: Path) -> None:
    assert list(grave(examine(yolo).report)) == []


@pytest.mark.parametrize("name", YOLO)
def test_damage_to_yolo_is_found_and_named(name: str, yolo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(yolo, folder)
    do, rule, where, fixed = YOLO[name]
    do(folder)
    found = examine(folder)
    damage = Damage(lambda *_: None, rule, where)
    assert told(found.report, damage), list(grave(found.report))
    if fixed:
        check_copy(found, tmp_path / "copy", damage)


@pytest.mark.parametrize("name", ["pixels", "pixels of corners"])
def test_pixels_of_yolo_are_mended_exactly(name: str, yolo: Path, coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(yolo, folder)
    YOLO[name][0](folder)
    write_fixed(examine(folder), tmp_path / "copy", {})
    kept, sound = (read_labels(path, "train")["annotations"] for path in (tmp_path / "copy", coco))
    assert len(kept) == len(sound)
    for one, other in zip(kept, sound, strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
        assert one["category_id"] == other["category_id"] - 1
    fixes = (tmp_path / "copy" / "fixes.csv").read_text().splitlines()
    assert sum(line.startswith("pixel_boxes,train,") for line in fixes) == len(sound)


def test_pixels_that_fit_in_two_ways_are_left_to_a_person(yolo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(yolo, folder)
    _every_line(folder, lambda *_: (50, 30, 40, 20))
    found = examine(folder)
    assert "fit as cx cy width height or as x y width height" in next(
        f.message for f in found.report.findings if f.rule == "pixel_boxes"
    )
    with pytest.raises(DataError, match="train would be empty"):
        write_fixed(found, tmp_path / "copy", {})


def test_of_a_part_with_nothing_left_no_copy_is_made(yolo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(yolo, folder)
    _every_line(folder, lambda *_: (0.5, 0.5, float("nan"), 0.5))
    found = examine(folder)
    with pytest.raises(DataError, match="train would be empty"):
        write_fixed(found, tmp_path / "copy", {})
    assert not (tmp_path / "copy").exists()


def test_boxes_are_judged_at_the_size_at_which_tiles_show_them(coco: Path, tmp_path: Path) -> None:
    """4 px of 144 are 0.9 px on a canvas of 32, and as they are in a tile of 32."""
    content = read_labels(coco, "train")
    content["annotations"][7]["bbox"] = [10.0, 10.0, 4.0, 4.0]
    labels = tmp_path / "train.json"
    labels.write_text(json.dumps(content))
    source = f"{{format: coco, annotations: {labels}, images: {coco}/images/train}}"
    (tmp_path / "config.yaml").write_text(f"data:\n  image_size: [32, 32]\n  train: {source}\n")

    def tiny(*overrides: str) -> list[str]:
        report = examine(tmp_path / "config.yaml", "none", None, overrides).report
        return [f.message for f in report.findings if f.rule == "tiny_box" and "annotation 8" in f.where]

    assert "0.889 px at training size" in tiny()[0]
    assert tiny("data.tiles.size=32") == []
    assert "2 px at training size" in tiny("data.tiles.size=64")[0]


def test_a_configuration_that_measures_on_what_it_trains_on(coco: Path, tmp_path: Path) -> None:
    source = f"{{format: coco, annotations: {coco}/annotations/instances_val.json, images: {coco}/images/val"
    (tmp_path / "config.yaml").write_text(f"data:\n  train: {source}}}\n  val: {source}}}\n")
    report = examine(tmp_path / "config.yaml", "none").report
    assert sum(found.rule == "shared_picture" for found in report.findings) == 24


def test_one_unreadable_part_does_not_hide_the_others(coco: Path, tmp_path: Path) -> None:
    source = "{{format: coco, annotations: {0}/annotations/{1}.json, images: {0}/images/val}}"
    sound, broken = source.format(coco, "instances_val"), source.format(coco, "gone")
    (tmp_path / "config.yaml").write_text(f"data:\n  train: {sound}\n  val: {broken}\n")
    report = examine(tmp_path / "config.yaml").report
    assert told(report, Damage(lambda *_: None, "unusable", "gone.json: no such file"))
    assert [part.pictures for part in report.parts] == [24, 0]


def test_a_folder_without_labels_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labels found"):
        examine(tmp_path)


def test_of_a_picture_in_three_parts_one_stays(coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(coco, folder)
    content = read_labels(folder, "val")
    shutil.copytree(folder / "images" / "val", folder / "images" / "test")
    write_labels(folder, "test", content)
    train = read_labels(folder, "train")
    _copy_of(2, 6, "val")(train, folder / "images" / "train")
    damage = Damage(lambda *_: None, "leaked_picture", "1_002.png")
    found = examine(folder)
    changes = write_fixed(found, tmp_path / "copy", {})
    assert sum(change.rule == "leaked_picture" for change in changes) == 25
    again = examine(tmp_path / "copy").report
    assert told(again, damage) == []
    assert [(part.name, part.pictures) for part in again.parts] == [("train", 43), ("val", 24)]


def test_a_box_of_a_picture_that_is_left_out_is_no_change_of_its_own(coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(coco, folder)
    content = read_labels(folder, "train")
    _cut(content, folder / "images" / "train")
    row = next(row for row in content["annotations"] if row["image_id"] == content["images"][3]["id"])
    content["annotations"].append({**row, "id": 9001})
    write_labels(folder, "train", content)
    changes = write_fixed(examine(folder), tmp_path / "copy", {})
    assert [change.rule for change in changes] == ["broken_picture"]
