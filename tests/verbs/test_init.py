"""foveal init on real and made-up folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.diagnosis.doctor.sets import write_coco_set

from foveal.build import build_records
from foveal.config import schema
from foveal.config.load import data_of, load_config
from foveal.diagnosis.anchors.check import check_anchors
from foveal.diagnosis.doctor.roles import choose_roles
from foveal.errors import DataError, UsageError
from foveal.verbs.init import init


def make_coco(
    folder: Path, pictures: int, names: tuple[str, ...] = ("cat", "left arrow"), boxes: bool = True
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for p in range(1, pictures + 1):
        Image.fromarray(np.full((48, 64, 3), p, dtype=np.uint8)).save(folder / f"{p:03}.png")
        images.append({"id": p, "file_name": f"{p:03}.png", "height": 48, "width": 64})
        if boxes:
            annotations.append(
                {
                    "id": p,
                    "image_id": p,
                    "category_id": p % len(names),
                    "bbox": [4, 4, 20, 30],
                    "area": 600,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    path = folder / "_annotations.coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("name", "train", "val", "classes"),
    [
        ("bccd_voc", 205, 87, 3),
        ("chess_coco", 58, 29, 12),
        ("tinycoco_coco", 32, 6, 42),
        ("playing_cards_voc_csv", 296, 67, 6),
        ("road_signs_yolo", 128, 128, 5),
    ],
)
def test_real_data(
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    train: int,
    val: int,
    classes: int,
) -> None:
    path = init(shared / "data" / name, tmp_path / f"{name}.yaml")
    assert path.read_text().startswith(f"# foveal train {path}\n")
    data = data_of(load_config(path))
    assert data.val is not None
    assert data.classes is not None
    assert len(data.classes) == len(set(data.classes))
    if name != "tinycoco_coco":
        assert len(data.classes) == classes
    else:
        assert len(data.classes) > 41
    assert f"train: {train} pictures" in capsys.readouterr().out
    assert len(build_records(data.val, data.classes)) == val
    assert all(side % 32 == 0 and side <= 512 for side in data.image_size)


def test_chess_says_that_there_is_no_training_part(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = init(shared / "data" / "chess_coco", tmp_path / "c.yaml")
    data = data_of(load_config(path))
    assert isinstance(data.train, schema.CocoSource)
    assert isinstance(data.val, schema.CocoSource)
    assert Path(data.train.annotations).parent.name == "valid"
    assert Path(data.val.annotations).parent.name == "test"
    assert "no training part" in path.read_text()
    assert "no training part" in capsys.readouterr().out
    assert "512 is the cap" in path.read_text()


@pytest.mark.parametrize(("name", "kind"), [("bccd_voc", "voc"), ("road_signs_yolo", "yolo")])
def test_a_test_part_is_kept_for_the_last_measurement(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    path = init(shared / "data" / name, tmp_path / "a.yaml")
    said = " ".join(capsys.readouterr().out.split())
    assert "test: not looked at here" in said
    assert "--part test" in path.read_text()
    source = data_of(load_config(path)).test
    assert source is not None
    assert source.format == kind
    pictures = {"bccd_voc": 72, "road_signs_yolo": 128}[name]
    assert len(build_records(source)) == pictures


@pytest.mark.parametrize(
    ("source", "train", "val"),
    [
        ("playing_cards_voc_csv/images/train_labels.csv", 231, 65),
        ("bccd_voc/test.csv", 291, 73),
        ("road_signs_yolo/valid", 114, 14),
    ],
)
def test_one_table_or_folder_is_split_by_a_list(
    shared: Path, tmp_path: Path, source: str, train: int, val: int
) -> None:
    data = data_of(load_config(init(shared / "data" / source, tmp_path / "a.yaml", quiet=True)))
    assert data.val is not None
    parts = [build_records(part, data.classes, strict=True) for part in (data.train, data.val)]
    assert [len(part) for part in parts] == [train, val]
    assert not set(parts[0].files) & set(parts[1].files)
    if source.endswith(".csv"):
        assert isinstance(data.train, schema.CsvSource)
        assert data.train.corners == "one_based"
        assert min(part.boxes.min() for part in parts) == 0


def test_bccd_fits_its_boxes(shared: Path, tmp_path: Path) -> None:
    text = init(shared / "data" / "bccd_voc", tmp_path / "b.yaml", quiet=True).read_text()
    match = re.search(
        r"IoU 0.5 with ([\d.]+)% of the training boxes \(RetinaNet's own: ([\d.]+)%", text.replace("\n", " ")
    )
    assert match is not None
    assert float(match[1]) > 98
    assert float(match[1]) >= float(match[2])
    config = load_config(tmp_path / "b.yaml")
    data = data_of(config)
    assert data.image_size == (320, 416)
    check = check_anchors(build_records(data.train, data.classes), config)
    assert match[1] == f"{100 * check.recall(0.5):.1f}", "one number, here and in the doctor's report"
    assert f"the median box\n  # is {check.median_side:.0f} px" in text


def test_one_part_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    make_coco(tmp_path / "set", 40)
    before = listing(tmp_path / "set")
    init(tmp_path / "set", tmp_path / "out" / "a.yaml", quiet=True)
    init(tmp_path / "set", tmp_path / "out" / "b.yaml", quiet=True)
    assert listing(tmp_path / "set") == before
    data = data_of(load_config(tmp_path / "out" / "a.yaml"))
    assert data.val is not None
    train, val = build_records(data.train, data.classes), build_records(data.val, data.classes)
    assert len(train) + len(val) == 40
    assert not set(train.files) & set(val.files)
    assert 2 <= len(val) <= 16
    assert len(train.boxes) == len(train)
    first, second = (json.loads((tmp_path / "out" / f"{stem}.val.json").read_text()) for stem in "ab")
    assert first == second
    assert "no validation part: 20% of its pictures" in (tmp_path / "out" / "a.yaml").read_text()


def test_voc_split_lists(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "playing_cards_voc_csv" / "images" / "test"
    data = data_of(load_config(init(source, tmp_path / "v.yaml", quiet=True)))
    assert isinstance(data.val, schema.VocSource)
    assert data.val.split == str(tmp_path / "v.val.txt")
    assert len(build_records(data.train)) + len(build_records(data.val)) == 67


def test_too_few_pictures_for_a_validation_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_coco(tmp_path / "set", 1)
    path = init(tmp_path / "set", tmp_path / "a.yaml")
    assert data_of(load_config(path)).val is None
    assert "val is MISSING" in path.read_text()
    assert "val is MISSING" in capsys.readouterr().out


def test_paths_under_the_configuration_are_relative(tmp_path: Path) -> None:
    make_coco(tmp_path / "set" / "train", 8)
    make_coco(tmp_path / "set" / "valid", 3)
    path = init(tmp_path / "set", tmp_path / "a.yaml", quiet=True)
    assert "annotations: set/train/_annotations.coco.json" in path.read_text()
    (tmp_path / "set").rename(tmp_path / "moved")
    moved = path.with_name("moved.yaml")
    moved.write_text(path.read_text().replace(" set/", " moved/"))
    assert len(build_records(data_of(load_config(moved)).train)) == 8


def test_no_flip_where_a_class_has_a_side(tmp_path: Path) -> None:
    make_coco(tmp_path / "set", 30)
    config = load_config(init(tmp_path / "set", tmp_path / "a.yaml", quiet=True))
    assert data_of(config).augment.horizontal_flip == 0
    make_coco(tmp_path / "other", 30, ("cat", "upright"))
    config = load_config(init(tmp_path / "other", tmp_path / "b.yaml", quiet=True))
    assert data_of(config).augment.horizontal_flip == 0.5


def test_shapes_can_be_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foveal.verbs.init.SHAPES_PICTURES", 6)
    monkeypatch.setattr("foveal.verbs.init.SHAPES_VAL", 3)
    folder = tmp_path / "shapes"
    config = load_config(init("shapes", tmp_path / "s.yaml", quiet=True, pictures=folder))
    assert config.data is not None
    records = build_records(config.data.train)
    assert len(records) == len(list((folder / "train" / "images").iterdir())) == 6
    assert len(records.boxes) > 0
    assert records.load(0).shape == (160, 160, 3)
    with pytest.raises(UsageError, match="not there yet"):
        init("shapes", tmp_path / "t.yaml", quiet=True, pictures=folder)
    with pytest.raises(UsageError, match="shapes only"):
        init(folder, tmp_path / "t.yaml", quiet=True, pictures=tmp_path / "new")


def test_shapes_need_nothing(tmp_path: Path) -> None:
    config = load_config(init("shapes", tmp_path / "shapes.yaml", quiet=True))
    data = data_of(config)
    assert isinstance(data.train, schema.ShapesSource)
    assert isinstance(data.val, schema.ShapesSource)
    assert data.train.seed != data.val.seed
    assert data.train.classes == data.val.classes
    assert config.model.architecture.backbone.params.weights is None


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        init("shapes", path)
    assert path.read_text() == "precious"
    init("shapes", path, force=True, quiet=True)
    assert path.read_text() != "precious"
    make_coco(tmp_path / "set", 30)
    (tmp_path / "new.val.json").write_text("precious")
    with pytest.raises(UsageError, match=r"new\.val\.json: exists already"):
        init(tmp_path / "set", tmp_path / "new.yaml", quiet=True)
    assert (tmp_path / "new.val.json").read_text() == "precious"
    assert not (tmp_path / "new.yaml").exists()
    with pytest.raises(UsageError, match="is a folder"):
        init("shapes", tmp_path)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    make_coco(tmp_path / "set", 12, boxes=False)
    with pytest.raises(DataError, match="no usable box"):
        init(tmp_path / "set", tmp_path / "a.yaml", quiet=True)
    assert not list(tmp_path.glob("a.*"))
    with pytest.raises(DataError, match="no such folder"):
        init(tmp_path / "nowhere", tmp_path / "a.yaml")


def test_faults_are_told_in_a_line(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shared / "data" / "road_signs_yolo"
    init(data, tmp_path / "a.yaml")
    line = next(line for line in capsys.readouterr().out.splitlines() if "shows them" in line)
    assert line.startswith(
        f"6 errors and 1 warning: foveal doctor {data} shows them; the worst: class_not_trained: "
    )
    write_coco_set(tmp_path / "set")
    init(tmp_path / "set", tmp_path / "b.yaml")
    assert "shows them" not in capsys.readouterr().out


def test_a_fault_of_a_whole_part_is_the_worst(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, names in (("train", ("cat", "dog")), ("valid", ("cat", "owl"))):
        make_coco(tmp_path / "set" / part, 44, names)
    labels = tmp_path / "set" / "train" / "_annotations.coco.json"
    labels.write_text(labels.read_text().replace("[4, 4, 20, 30]", "[4, 4, 0, 30]", 1))
    init(tmp_path / "set", tmp_path / "a.yaml")
    assert "the worst: class_not_trained: val: 'owl'" in capsys.readouterr().out


def test_a_configuration_is_no_data(tmp_path: Path) -> None:
    make_coco(tmp_path / "set", 30)
    config = init(tmp_path / "set", tmp_path / "a.yaml", quiet=True)
    with pytest.raises(UsageError, match="is a configuration already: foveal train"):
        init(config, tmp_path / "b.yaml", quiet=True)


def test_a_split_is_not_written_into_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it would be found as labels of its own the next time, beside those that it is made from."""
    make_coco(tmp_path / "set", 30)
    monkeypatch.chdir(tmp_path / "set")
    before = listing(tmp_path / "set")
    with pytest.raises(UsageError, match=r"the data's own folder, .*: -o .*set\.yaml"):
        init(".", Path("config.yaml"), quiet=True)
    assert listing(tmp_path / "set") == before


@pytest.mark.parametrize(
    ("names", "train", "val"),
    [
        (("train", "val", "test"), "train", "val"),
        (("all", "val"), "all", "val"),
        (("train", "test"), "train", "test"),
        (("val", "test"), "val", "test"),
        (("val",), "val", None),
        # A list of train and val together: measuring on val would be measuring on what was trained.
        (("trainval", "val"), "trainval", None),
        (("trainval", "val", "test"), "trainval", "test"),
        (("trainval", "train", "val"), "train", "val"),
    ],
)
def test_which_part_is_trained_on(names: tuple[str, ...], train: str, val: str | None) -> None:
    assert choose_roles(names)[:2] == (train, val)


def test_a_part_without_a_box_is_named(tmp_path: Path) -> None:
    make_coco(tmp_path / "set" / "train", 30)
    make_coco(tmp_path / "set" / "valid", 30, boxes=False)
    with pytest.raises(DataError, match=r"nothing to measure on in val; foveal doctor"):
        init(tmp_path / "set", tmp_path / "a.yaml", quiet=True)
