"""Finding label files in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from foveal.build import build_records
from foveal.config.load import data_of, load_config
from foveal.config.schema import CocoSource, CsvSource, VocSource, YoloSource
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


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("train\\a.jpg", "train/a.jpg"),
        ("C:\\data\\a.jpg", "images/a.jpg"),
        ("a.jpg", "images/a.JPG"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ('a "b" \u00e9.jpg', 'a "b" \u00e9.jpg'),
    ],
)
def test_pictures_are_found_as_the_reader_finds_them(tmp_path: Path, written: str, place: str) -> None:
    names = ["x" * 300 + ".jpg", written]
    coco(tmp_path / "labels.json", images=[{"id": 1, "file_name": name} for name in names])
    touch(tmp_path / place)
    source = find_layout(tmp_path).parts["all"]
    assert source.images == (str(tmp_path / "images") if place.startswith("images") else None)


def test_a_folder_where_a_picture_is_as_written_comes_first(tmp_path: Path) -> None:
    coco(tmp_path / "labels.json", "train/a.jpg")
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "images" / "train" / "a.jpg")
    assert find_layout(tmp_path).parts["all"].images == str(tmp_path / "images")


def test_a_pipe_among_the_files_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    coco(tmp_path / "labels.json")
    touch(tmp_path / "a.jpg")
    assert list(find_layout(tmp_path).parts) == ["all"]


def test_links_that_were_not_followed_are_named(tmp_path: Path) -> None:
    coco(tmp_path / "store" / "train" / "_annotations.coco.json")
    touch(tmp_path / "store" / "train" / "a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "store" / "train")
    said = r"set/train is a link out of \S+set and not used: if it is meant, give \S+set/train itself"
    with pytest.raises(DataError, match=said):
        find_layout(tmp_path / "set")
    coco(tmp_path / "set" / "valid" / "_annotations.coco.json")
    touch(tmp_path / "set" / "valid" / "a.jpg")
    layout = find_layout(tmp_path / "set")
    assert list(layout.parts) == ["val"]
    assert any(re.search(said, note) for note in layout.notes)
    assert list(find_layout(tmp_path / "set" / "train").parts) == ["all"]
    (tmp_path / "set" / "train").rename(tmp_path / "set" / "runs")
    assert find_layout(tmp_path / "set").notes == ()


def _xml(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<annotation/>")
    return path


@pytest.mark.parametrize("name", ["labels.json", "data.yaml", "labels.csv"])
def test_labels_that_are_links_out_are_not_read(tmp_path: Path, name: str) -> None:
    """S10: an unpacked archive may hold a link to anywhere."""
    coco(tmp_path / "out" / "labels.json")
    (tmp_path / "out" / "data.yaml").write_text("train: .\nnames: [cat]\n")
    (tmp_path / "out" / "labels.csv").write_text("filename,class,x1,y1,x2,y2\na.jpg,cat,1,1,5,5\n")
    touch(tmp_path / "set" / "a.jpg")
    (tmp_path / "set" / name).symlink_to(tmp_path / "out" / name)
    with pytest.raises(DataError, match=rf"no labels found.*set/{name} is a link out of \S+set and not used"):
        find_layout(tmp_path / "set")
    coco(tmp_path / "set" / "sound.json")
    layout = find_layout(tmp_path / "set")
    assert layout.parts["all"].annotations == str(tmp_path / "set" / "sound.json")
    assert any(f"{name} is a link out of" in note for note in layout.notes)


def test_pictures_behind_a_link_out_are_not_read(tmp_path: Path) -> None:
    touch(tmp_path / "out" / "a.jpg")
    coco(tmp_path / "set" / "annotations" / "instances_train.json")
    (tmp_path / "set" / "images").symlink_to(tmp_path / "out")
    said = r"were not found.*set/images leads out of \S+set: if it is meant, give it as images: in the source"
    for source in (tmp_path / "set", tmp_path / "set" / "annotations"):
        with pytest.raises(DataError, match=said):
            find_layout(source)


def _linked_sets(root: Path, pictures: Path) -> dict[str, Path]:
    """Sets of one picture, a.png, in the folder ``pictures``, which each of them links to; what to look at."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8], "area": 64, "iscrowd": 0}
    labels = root / "coco" / "annotations" / "instances_train.json"
    coco(labels, "a.png", annotations=[box], categories=[{"id": 1, "name": "x"}])
    _xml(root / "voc" / "Annotations" / "a.xml").write_text(
        "<annotation><object><name>x</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
        "</bndbox></object></annotation>"
    )
    for name in ("yolo", "sheet"):
        touch(root / name / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        touch(root / name / "classes.txt").write_text("x\n")
    touch(root / "sheet" / "data.yaml").write_text("train: images\nnames: [x]\n")
    touch(root / "csv" / "labels.csv").write_text("filename,class,x1,y1,x2,y2\na.png,x,1,1,9,9\n")
    links = {"coco": "images", "voc": "JPEGImages", "yolo": "images", "sheet": "images", "csv": "images"}
    for name, link in links.items():
        (root / name / link).symlink_to(pictures)
    return {name: root / name for name in links}


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "sheet", "csv"])
def test_what_is_said_of_linked_pictures_works(tmp_path: Path, name: str) -> None:
    """The source that the error gives, put into a configuration as it is, reads them."""
    (tmp_path / "out").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "out" / "a.png")
    folder = _linked_sets(tmp_path / "sets, old #2", tmp_path / "out")[name]
    with pytest.raises(
        DataError, match=r"(leads out of|lies outside|link out of).*give it as images: in the source"
    ) as caught:
        find_layout(folder)
    source = re.search(r", as in (data: \{train: \{.*\}\})", str(caught.value))
    assert source is not None
    (tmp_path / "config.yaml").write_text(source[1])
    train = data_of(load_config(tmp_path / "config.yaml")).train
    records = build_records(train)
    assert (len(records), records.boxes_per_class(), records.classes.names) == (1, [1], ("x",))


@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_a_folder_that_is_a_link_itself(tmp_path: Path, kind: str) -> None:
    """With pictures and labels beside each other."""
    touch(tmp_path / "store" / "set" / "a.jpg")
    if kind == "voc":
        _xml(tmp_path / "store" / "set" / "a.xml")
    else:
        touch(tmp_path / "store" / "set" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "store" / "set")
    layout = find_layout(tmp_path / "mine" / "link")
    assert (layout.kind, list(layout.parts)) == (kind, ["all"])


def test_pictures_that_are_links_are_told_as_such(tmp_path: Path) -> None:
    coco(tmp_path / "set" / "annotations" / "instances_train.json")
    touch(tmp_path / "out" / "a.jpg")
    (tmp_path / "set" / "images").mkdir()
    (tmp_path / "set" / "images" / "a.jpg").symlink_to(tmp_path / "out" / "a.jpg")
    with pytest.raises(
        DataError, match=r"images/a\.jpg leads out of \S+images; it is a link: a copy \(cp -L\)"
    ):
        find_layout(tmp_path / "set")
    shutil.copy(tmp_path / "set" / "images" / "a.jpg", tmp_path / "set" / "images" / "b.jpg")
    (tmp_path / "set" / "images" / "b.jpg").rename(tmp_path / "set" / "images" / "a.jpg")
    assert list(find_layout(tmp_path / "set").parts) == ["train"]


def test_a_split_list_that_is_a_link_out_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "voc"
    _xml(root / "Annotations" / "a.xml")
    touch(root / "JPEGImages" / "a.jpg")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").symlink_to(touch(tmp_path / "out.txt"))
    layout = find_layout(root)
    assert isinstance(layout.parts["all"], VocSource)
    assert layout.parts["all"].split is None
    assert any("train.txt is a link out of" in note for note in layout.notes)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    coco(tmp_path / "store" / "real.txt")
    touch(tmp_path / "store" / "pictures" / "a.jpg")
    (tmp_path / "images").symlink_to("store/pictures")
    (tmp_path / "labels.json").symlink_to("store/real.txt")
    layout = find_layout(tmp_path)
    assert layout.parts["all"].images == str(tmp_path / "images")
    assert layout.notes == ()


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
    with pytest.raises(
        DataError, match=r"looked 6 folders deep for COCO JSON .*, Pascal VOC XML .*, YOLO txt .* and CSV"
    ):
        find_layout(tmp_path)


def test_the_folders_own_name_says_nothing(tmp_path: Path) -> None:
    coco(tmp_path / "test_pictures" / "labels.json")
    touch(tmp_path / "test_pictures" / "a.jpg")
    assert list(find_layout(tmp_path / "test_pictures").parts) == ["all"]
    assert list(find_layout(tmp_path).parts) == ["test"]


def yolo(folder: Path, *names: str, row: str = "0 0.5 0.5 0.2 0.2\n") -> None:
    """Pictures and labels of a part, beside each other in ``images`` and ``labels``."""
    for name in names:
        touch(folder / "images" / f"{name}.jpg")
        touch(folder / "labels" / f"{name}.txt").write_text(row)


def test_data_yaml_with_its_parts(tmp_path: Path) -> None:
    yolo(tmp_path / "train", "a.rf.1")
    yolo(tmp_path / "valid", "b")
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../gone\nnames: [x]\n"
    )
    (tmp_path / "args.yaml").write_text("train: true\n")
    for source in (tmp_path, tmp_path / "data.yaml"):
        layout = find_layout(source)
        assert layout.kind == "yolo"
        assert set(layout.parts) == {"train", "val"}
        val = layout.parts["val"]
        assert isinstance(val, YoloSource)
        assert (val.annotations, val.part, val.images) == (str(tmp_path / "data.yaml"), "val", None)
        assert any("'../gone' was not found" in note for note in layout.notes)


def test_data_yaml_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """Outside the file's folder, but inside the one that a person named."""
    yolo(tmp_path / "train", "a")
    touch(tmp_path / "config" / "set.yaml").write_text("train: ../train/images\nnames: {0: x}\n")
    train = find_layout(tmp_path).parts["train"]
    assert isinstance(train, YoloSource)
    assert (train.part, train.images) == (None, str(tmp_path / "train" / "images"))
    with pytest.raises(DataError, match="lies outside: if it is meant, give it as images:") as caught:
        find_layout(tmp_path / "config")
    assert str(caught.value).endswith(f", or foveal init {tmp_path}")


def test_a_list_elsewhere(tmp_path: Path) -> None:
    """The data.yaml in a project of its own, the data in another folder."""
    yolo(tmp_path / "data" / "set", "a")
    touch(tmp_path / "data" / "set" / "train.txt").write_text("./images/a.jpg\n")
    sheet = touch(tmp_path / "project" / "data.yaml")
    sheet.write_text(f"path: {tmp_path / 'data' / 'set'}\ntrain: train.txt\nnames: [x]\n")
    with pytest.raises(
        DataError, match=r"train\.txt lies outside: if it is meant, copy data\.yaml into"
    ) as caught:
        find_layout(sheet)
    assert str(caught.value).endswith(f" {tmp_path / 'data' / 'set'}, and give that one")
    assert list(find_layout(Path(shutil.copy(sheet, tmp_path / "data" / "set"))).parts) == ["train"]


def test_two_data_yamls(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text("train: .\nnames: [x]\n")
    with pytest.raises(DataError, match=r"both a\.yaml and b\.yml"):
        find_layout(tmp_path)


def test_lists_that_the_data_yaml_does_not_name(tmp_path: Path) -> None:
    yolo(tmp_path / "train", "a")
    (tmp_path / "data.yaml").write_text("train: train/images\nnames: [x]\n")
    for part in ("train", "val"):
        touch(tmp_path / "lists" / f"{part}.txt").write_text("train/images/a.jpg\n")
    (note,) = find_layout(tmp_path).notes
    assert f"split: {tmp_path / 'lists' / 'train.txt'}" in note


def test_label_folders_without_a_data_yaml(tmp_path: Path) -> None:
    yolo(tmp_path / "one" / "train", "a")
    yolo(tmp_path / "one" / "val", "b")
    layout = find_layout(tmp_path / "one")
    assert layout.kind == "yolo"
    assert {part: source.annotations for part, source in layout.parts.items()} == {
        "train": str(tmp_path / "one" / "train" / "labels"),
        "val": str(tmp_path / "one" / "val" / "labels"),
    }
    for part in ("train", "val"):
        touch(tmp_path / "two" / "images" / part / "a.jpg")
        touch(tmp_path / "two" / "labels" / part / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    parts = find_layout(tmp_path / "two").parts
    assert parts["val"].images == str(tmp_path / "two" / "images" / "val")
    touch(tmp_path / "flat" / "a.png")
    touch(tmp_path / "flat" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert list(find_layout(tmp_path / "flat").parts) == ["all"]


def test_extensions_in_capitals(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "A.JPG")
    touch(tmp_path / "labels" / "A.TXT").write_text("0 0.5 0.5 0.2 0.2\n")
    assert list(find_layout(tmp_path).parts) == ["all"]
    (tmp_path / "DATA.YAML").write_text("train: images\nnames: [x]\n")
    assert list(find_layout(tmp_path).parts) == ["train"]


def test_captions_are_no_yolo(tmp_path: Path) -> None:
    yolo(tmp_path, "a", row="a cat on a mat\n")
    with pytest.raises(DataError, match="no labels found"):
        find_layout(tmp_path)


def test_tables_by_name(tmp_path: Path) -> None:
    for part in ("train", "test"):
        touch(tmp_path / part / "a.jpg")
        (tmp_path / f"{part}_labels.csv").write_text(
            "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,0,0,5,5\n"
        )
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    layout = find_layout(tmp_path)
    assert layout.kind == "csv"
    assert {part: source.images for part, source in layout.parts.items()} == {
        part: str(tmp_path / part) for part in ("train", "test")
    }
    assert list(find_layout(tmp_path / "train_labels.csv").parts) == ["all"]
    with pytest.raises(DataError, match=r"metrics\.csv: no table of boxes"):
        find_layout(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n")
    with pytest.raises(DataError, match=r"metrics\.csv: names no picture: it has a header and no row"):
        find_layout(tmp_path / "metrics.csv")


def test_table_with_a_split_column(tmp_path: Path) -> None:
    touch(tmp_path / "pictures" / "a.jpg")
    rows = "".join(f"a.jpg,cat,0,0,5,5,{part}\n" for part in ("Train", "validation", "spare"))
    (tmp_path / "labels.csv").write_text("file,label,left,top,right,bottom,split\n" + rows)
    parts = find_layout(tmp_path).parts
    assert {part: source.part for part, source in parts.items() if isinstance(source, CsvSource)} == {
        "train": "Train",
        "val": "validation",
    }


@pytest.mark.parametrize(("first", "corners"), [("1,1", "one_based"), ("0,1", "raw"), ("5,6", "raw")])
def test_numbers_that_start_at_one(tmp_path: Path, first: str, corners: str) -> None:
    touch(tmp_path / "a.jpg")
    rows = "".join(f"a.jpg,cat,{first},{9 + row},9\n" for row in range(2))
    (tmp_path / "all.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n" + rows)
    source = find_layout(tmp_path).parts["all"]
    assert isinstance(source, CsvSource)
    assert source.corners == corners


def test_a_table_that_is_not_clear_says_so(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "all.csv").write_text("a.jpg,1,2,3,cat\n")
    with pytest.raises(DataError, match=r"all\.csv:1: no header"):
        find_layout(tmp_path)
