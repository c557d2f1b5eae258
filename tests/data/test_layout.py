"""Finding label files in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveal.config.schema import CocoSource, VocSource
from foveal.data.layout import find_layout, part_of
from foveal.errors import DataError


def coco(path: Path, picture: str = "a.jpg", **extra: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"images": [{"id": 1, "file_name": picture}], "annotations": [], "categories": [], **extra}
    path.write_text(json.dumps(body))
    return path


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("instances_train2017", "train"),
        ("valid", "val"),
        ("Test", "test"),
        ("my-validation_set", "val"),
        ("_annotations.coco", None),
        ("constraint", None),
    ],
)
def test_part_of(name: str, part: str | None) -> None:
    assert part_of(name) == part


def test_official_coco(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        coco(tmp_path / "annotations" / f"instances_{part}.json")
        coco(tmp_path / "annotations" / f"captions_{part}.json")
        touch(tmp_path / part / "a.jpg")
    for root in (tmp_path, tmp_path / "annotations"):
        parts = find_layout(root).parts
        assert set(parts) == {"train", "val"}
        assert parts["val"].images == str(tmp_path / "val2017")


def test_roboflow(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        coco(tmp_path / "export" / part / "_annotations.coco.json")
        touch(tmp_path / "export" / part / "a.jpg")
    layout = find_layout(tmp_path)
    assert layout.kind == "coco"
    assert set(layout.parts) == {"train", "val", "test"}
    assert layout.parts["val"].images is None


def test_any_coco_file_but_no_results(tmp_path: Path) -> None:
    coco(tmp_path / "labels.json", "pictures/a.jpg")
    coco(tmp_path / "results.json", annotations=[{"score": 0.5}])
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("{")
    touch(tmp_path / "pictures" / "a.jpg")
    assert list(find_layout(tmp_path).parts) == ["all"]
    assert isinstance(find_layout(tmp_path / "labels.json").parts["all"], CocoSource)


def test_nothing_above_the_folder_is_looked_at(tmp_path: Path) -> None:
    coco(tmp_path / "inside" / "labels.json")
    touch(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"'a\.jpg', were not found"):
        find_layout(tmp_path / "inside")


def test_two_files_for_one_part(tmp_path: Path) -> None:
    coco(tmp_path / "a.json")
    coco(tmp_path / "b.json")
    touch(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"both a\.json and b\.json .* give the file itself"):
        find_layout(tmp_path)


def test_voc_devkit(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    touch(root / "Annotations" / "1.xml")
    touch(root / "JPEGImages" / "1.jpg")
    for part in ("train", "val", "trainval"):
        touch(root / "ImageSets" / "Main" / f"{part}.txt")
    layout = find_layout(tmp_path)
    assert set(layout.parts) == {"train", "val", "trainval"}
    train = layout.parts["train"]
    assert isinstance(train, VocSource)
    assert train.split == str(root / "ImageSets" / "Main" / "train.txt")
    assert train.images == str(root / "JPEGImages")


def test_xml_beside_the_pictures(tmp_path: Path) -> None:
    for part in ("train", "test"):
        touch(tmp_path / part / "1.xml")
        touch(tmp_path / part / "1.JPG")
    parts = find_layout(tmp_path).parts
    assert set(parts) == {"train", "test"}
    assert parts["train"].images is None


def test_unknown_layouts_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked 6 folders deep for COCO JSON .* and Pascal VOC XML"):
        find_layout(tmp_path)
    touch(tmp_path / "data.yaml")
    touch(tmp_path / "labels" / "1.txt")
    with pytest.raises(DataError, match="looks like YOLO"):
        find_layout(tmp_path)


def test_the_folders_own_name_says_nothing(tmp_path: Path) -> None:
    coco(tmp_path / "test_pictures" / "labels.json")
    touch(tmp_path / "test_pictures" / "a.jpg")
    assert list(find_layout(tmp_path / "test_pictures").parts) == ["all"]
    assert list(find_layout(tmp_path).parts) == ["test"]
