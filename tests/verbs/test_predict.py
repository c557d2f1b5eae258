"""foveal predict: which pictures, what is written, what is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.data.coco import read_coco
from foveal.errors import DataError, DiskError
from foveal.runtime.predictor import Predictor
from foveal.verbs.predict import find_pictures, predict


def make_pictures(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 60, 3), 30 * number, dtype=np.uint8)).save(path)
    return paths


# ---------------------------------------------------------------- which pictures


def test_files_folders_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c, d = make_pictures(tmp_path, "set/a.JPG", "set/b.png", "set/deep/c.webp", "other/d.jfif")
    (tmp_path / "set" / "notes.txt").write_text("no picture")
    assert find_pictures([str(a)]) == [a]
    assert find_pictures([str(tmp_path / "set")]) == [a, b, c]
    assert find_pictures([str(tmp_path / "*" / "*.png"), str(d)]) == [b, d]
    assert find_pictures([str(tmp_path / "**" / "*.webp")]) == [c]
    assert find_pictures([str(tmp_path / "*")]) == [d, a, b, c]  # folders that a glob finds are searched
    assert find_pictures([str(b), str(tmp_path / "set"), str(b)]) == [b, a, c]  # none twice
    monkeypatch.chdir(tmp_path)
    assert find_pictures(["set/a.JPG", "other"]) == [Path("set/a.JPG"), Path("other/d.jfif")]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (path,) = make_pictures(tmp_path, "cat[1].png")
    assert find_pictures([str(path)]) == [path]


@pytest.mark.parametrize("source", ["gone.jpg", "empty", "*.bmp"])
def test_a_source_without_a_picture(tmp_path: Path, source: str) -> None:
    make_pictures(tmp_path, "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture there"):
        find_pictures([str(tmp_path / "a.png"), str(tmp_path / source)])


# ---------------------------------------------------------------- what is written


def test_pictures_and_coco_json(trained: Any, tmp_path: Path) -> None:
    sources = [str(trained.data / "images")]
    result = predict(trained.best, sources, tmp_path / "out", device="cpu", quiet=True)
    records = read_coco(trained.data / "annotations.json", trained.data / "images")
    assert sorted(path.name for path in result.output.glob("*.png")) == sorted(records.files.tolist())
    content = json.loads((result.output / "detections.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [
        str(records.path(picture)) for picture in range(8)
    ]
    assert {(image["height"], image["width"]) for image in content["images"]} == {(128, 128)}
    categories = [category["name"] for category in content["categories"]]
    assert categories == ["red circle", "blue square"]
    predictor = Predictor(trained.best, "cpu")
    rows = content["annotations"]
    assert len(rows) > 4
    assert len({row["id"] for row in rows}) == len(rows)
    for image in content["images"]:
        found = predictor(image["file_name"])
        mine = [row for row in rows if row["image_id"] == image["id"]]
        assert [row["score"] for row in mine] == pytest.approx(found.scores.tolist())
        ids = {category["id"]: category["name"] for category in content["categories"]}
        assert tuple(ids[row["category_id"]] for row in mine) == found.names
        for row, box in zip(mine, found.boxes.tolist(), strict=True):
            x, y, width, height = row["bbox"]
            assert (x, y, x + width, y + height) == pytest.approx(box, abs=1e-3)
    drawn = np.asarray(Image.open(result.output / str(records.files[0])))
    assert drawn.shape == (128, 128, 3)
    busiest = max(result.predictions, key=lambda prediction: len(prediction.detections))
    plain, marked = (
        np.asarray(Image.open(p).convert("RGB")) for p in (busiest.path, result.output / busiest.path.name)
    )
    assert (plain != marked).any()


def test_thresholds(trained: Any, tmp_path: Path) -> None:
    def count(**options: Any) -> int:
        result = predict(
            trained.best,
            [str(trained.data)],
            tmp_path / "o",
            pictures=False,
            device="cpu",
            quiet=True,
            **options,
        )
        return sum(len(prediction.detections) for prediction in result.predictions)

    assert count(everything=True) > count() > count(score_thresh=0.999)
    assert count(everything=True) == count(score_thresh=0.0)


def test_json_alone(trained: Any, tmp_path: Path) -> None:
    result = predict(trained.best, [str(trained.data)], tmp_path / "out", pictures=False, quiet=True)
    assert [path.name for path in result.output.iterdir()] == ["detections.json"]


def test_a_corrupt_picture_is_named_and_left_out(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, last = make_pictures(tmp_path / "set", "1.png", "2.png", "3.png")
    bad.write_bytes(bad.read_bytes()[:60])
    result = predict(trained.best, [str(tmp_path / "set")], tmp_path / "out", device="cpu")
    assert [prediction.path for prediction in result.predictions] == [good, last]
    assert [path for path, _ in result.failed] == [bad]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{bad}: the picture cannot be decoded")
    assert lines[1].endswith(f"detections on 2 pictures -> {tmp_path / 'out'}")
    assert len(lines) == 2
    names = sorted(path.name for path in result.output.iterdir())
    assert names == ["1.png", "3.png", "detections.json"]
    with pytest.raises(DataError, match=r"none of the 1 pictures could be read; the first: .*2\.png"):
        predict(trained.best, [str(bad)], tmp_path / "none", device="cpu", quiet=True)
    assert not (tmp_path / "none").exists()


def test_nothing_is_written_over(trained: Any, tmp_path: Path) -> None:
    sources = [str(path) for path in make_pictures(tmp_path, "a.png")]
    folders = []
    for _ in range(3):
        result = predict(trained.best, sources, tmp_path / "out", device="cpu", quiet=True)
        folders.append(result.output)
        (result.output / "mine.txt").write_text("mine")
    assert [folder.name for folder in folders] == ["out", "out-2", "out-3"]
    assert all(len(list(folder.iterdir())) == 3 for folder in folders)


def test_pictures_of_one_name_do_not_meet(trained: Any, tmp_path: Path) -> None:
    make_pictures(tmp_path, "x/a.png", "y/a.png", "y/a.jpg", "z/b.jpeg", "p/y/a.png")
    result = predict(trained.best, [str(tmp_path)], tmp_path / "out", device="cpu", quiet=True)
    names = sorted(path.name for path in result.output.iterdir())
    assert names == ["b.jpg", "detections.json", "x_a.png", "y_a-2.png", "y_a.jpg", "y_a.png"]


def test_output_below_a_file(trained: Any, tmp_path: Path) -> None:
    (picture,) = make_pictures(tmp_path, "a.png")
    for pictures in (True, False):
        with pytest.raises(DiskError, match=r"a\.png/out"):
            predict(
                trained.best, [str(picture)], picture / "out", pictures=pictures, device="cpu", quiet=True
            )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
