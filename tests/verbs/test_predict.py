"""foveal predict: which pictures, what is written, what is left alone."""

from __future__ import annotations

import json
import re
import weakref
from dataclasses import replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import foveal.cli.predict
from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.data.coco import read_coco
from foveal.engine.signals import StopSignals
from foveal.errors import DataError, DiskError, Interrupted, UsageError
from foveal.runtime.journal import picture_row
from foveal.runtime.predictor import Predictor
from foveal.verbs.predict import _readers, find_pictures, predict
from foveal.verbs.progress import a_second


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


@pytest.mark.parametrize(
    ("source", "said"),
    [("gone.jpg", "no such file or folder"), ("empty", "no picture there"), ("*.bmp", "no picture there")],
)
def test_a_source_without_a_picture(tmp_path: Path, source: str, said: str) -> None:
    make_pictures(tmp_path, "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=said):
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


def test_where_nothing_is_shown_the_best_score_says_why(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(file: Path, source: Path, **options: Any) -> list[str]:
        predict(file, [str(source)], tmp_path / "o", pictures=False, device="cpu", **options)
        return capsys.readouterr().err.splitlines()[1:]

    pictures = trained.data / "images"
    every = predict(trained.best, [str(pictures)], tmp_path / "o", everything=True, device="cpu", quiet=True)
    best = max((d for _, found in every.predictions for d in found), key=lambda d: d.score)
    assert said(trained.best, pictures, score_thresh=0.9999) == [
        f"nothing scored over its threshold: the best was {best.name} {best.score:.2f}, whose threshold is 1.00; "
        "--all shows everything, --score-thresh sets another"
    ]
    assert said(trained.best, pictures) == []
    header, state = load_checkpoint(trained.best)
    deaf = tmp_path / "deaf.safetensors"
    save_checkpoint(deaf, state, replace(header, thresholds={**header.thresholds, "red circle": 1.0}))
    assert said(deaf, pictures)[0].endswith("(the precision asked for was not reached): red circle")
    header.config["model"]["postprocessor"]["params"]["score_thresh"] = 0.9999
    save_checkpoint(deaf, state, header)
    assert said(deaf, pictures)[0].startswith("the model gave no detection at all")


def test_the_json_says_which_thresholds(trained: Any, tmp_path: Path) -> None:
    for options, limits in (
        ({}, load_checkpoint(trained.best).header.thresholds),
        ({"score_thresh": 0.2}, dict.fromkeys(("red circle", "blue square"), 0.2)),
        ({"everything": True}, dict.fromkeys(("red circle", "blue square"), 0.0)),
    ):
        result = predict(
            trained.best, [str(trained.data)], tmp_path / "o", pictures=False, device="cpu", quiet=True, **options
        )  # fmt: skip
        assert json.loads((result.output / "detections.json").read_text())["info"] == {"thresholds": limits}


def test_json_alone(trained: Any, tmp_path: Path) -> None:
    result = predict(trained.best, [str(trained.data)], tmp_path / "out", pictures=False, quiet=True)
    names = sorted(path.name for path in result.output.iterdir())
    assert names == ["detections.json", "detections.jsonl", "settings.json"]


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
    assert re.search(r"\d detections? on 2 pictures, [\d.]+ a second, 1 could not be read -> ", lines[1])
    assert lines[1].endswith(str(tmp_path / "out"))
    assert not any(str(bad) in line for line in lines[1:])
    names = sorted(path.name for path in result.output.iterdir())
    assert names == ["1.png", "3.png", "detections.json", "detections.jsonl", "settings.json"]
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
    assert all(len(list(folder.iterdir())) == 5 for folder in folders)


def test_pictures_of_one_name_do_not_meet(trained: Any, tmp_path: Path) -> None:
    make_pictures(tmp_path, "x/a.png", "y/a.png", "y/a.jpg", "z/b.jpeg", "p/y/a.png")
    result = predict(trained.best, [str(tmp_path)], tmp_path / "out", device="cpu", quiet=True)
    names = sorted(path.stem for path in result.output.iterdir() if not path.name.startswith("detections"))
    assert names == ["b", "settings", "x_a", "y_a", "y_a-2", "y_a-3"]


def test_output_below_a_file(trained: Any, tmp_path: Path) -> None:
    (picture,) = make_pictures(tmp_path, "a.png")
    for pictures in (True, False):
        with pytest.raises(DiskError, match=r"a\.png/out"):
            predict(
                trained.best, [str(picture)], picture / "out", pictures=pictures, device="cpu", quiet=True
            )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# ---------------------------------------------------------------- formats, going on, counting


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]


def test_the_lines_are_the_predictions(trained: Any, tmp_path: Path) -> None:
    result = predict(trained.best, [str(trained.data / "images")], tmp_path / "out", device="cpu", quiet=True)
    predictor = Predictor(trained.best, "cpu")
    assert result.pictures == len(result.predictions) == 8
    assert result.detections == sum(len(found) for _, found in result.predictions) > 4
    for path, found in result.predictions:
        again = predictor(path)
        assert found.boxes.tolist() == again.boxes.tolist()
        assert found.scores.tolist() == again.scores.tolist()
        assert found.names == again.names


@pytest.mark.parametrize("options", [{"batch_size": 3, "workers": 2}, {"workers": 0}])
def test_batches_and_readers_change_nothing(trained: Any, tmp_path: Path, options: dict[str, int]) -> None:
    sources = [str(trained.data / "images")]
    common: dict[str, Any] = {"pictures": False, "device": "cpu", "quiet": True}
    one = predict(trained.best, sources, tmp_path / "a", **common)
    other = predict(trained.best, sources, tmp_path / "b", **common, **options)
    for mine, theirs in zip(one.predictions, other.predictions, strict=True):
        assert (mine.path, mine.detections.names) == (theirs.path, theirs.detections.names)
        np.testing.assert_allclose(mine.detections.boxes, theirs.detections.boxes, atol=0.01)


def test_going_on_does_what_is_left_and_ends_as_if_never_stopped(trained: Any, tmp_path: Path) -> None:
    images = sorted((trained.data / "images").iterdir())
    common: dict[str, Any] = {"device": "cpu", "quiet": True, "formats": ["coco,csv,yolo"]}
    whole = predict(trained.best, [str(path) for path in images], tmp_path / "whole", **common)
    part = predict(trained.best, [str(path) for path in images[:3]], tmp_path / "part", **common)
    before = {path.name: path.stat().st_mtime_ns for path in part.output.glob("*.png")}
    result = predict(trained.best, [str(path) for path in images], part.output, resume=True, **common)
    assert result.output == part.output
    assert {name: (part.output / name).stat().st_mtime_ns for name in before} == before  # not drawn again
    for name in ("detections.json", "detections.csv", "detections.jsonl", "labels/classes.txt"):
        assert (result.output / name).read_text() == (whole.output / name).read_text(), name
    assert rows_of(result.output) == rows_of(whole.output)
    with pytest.raises(UsageError, match="was made with thresholds"):
        predict(trained.best, [str(images[0])], part.output, resume=True, score_thresh=0.9, **common)


def test_strict_does_the_others_and_then_fails(trained: Any, tmp_path: Path) -> None:
    good, bad = make_pictures(tmp_path / "set", "1.png", "2.png")
    bad.write_bytes(b"")
    with pytest.raises(DataError, match=r"^1 picture could not be read \(--strict\); the others are done$"):
        predict(
            trained.best, [str(tmp_path / "set")], tmp_path / "out", device="cpu", quiet=True, strict=True
        )
    assert [(row["file"], row["status"]) for row in rows_of(tmp_path / "out")] == [
        (str(good), "ok"), (str(bad), "error"),
    ]  # fmt: skip
    assert (tmp_path / "out" / "detections.json").exists()


def test_a_picture_far_larger_than_the_canvas_is_worth_one_line(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (1300, 200)).save(tmp_path / name)
    predict(trained.best, [str(tmp_path)], tmp_path / "out", pictures=False, device="cpu", score_thresh=0.9)
    lines = [line for line in capsys.readouterr().err.splitlines() if "--tile" in line]
    assert len(lines) == 1
    assert "a.png: 1300 x 200 pixels are seen on a canvas of 128 x 96, 10 times smaller" in lines[0]
    options: dict[str, Any] = {"pictures": False, "device": "cpu", "score_thresh": 0.9, "tiles": 256}
    predict(trained.best, [str(tmp_path)], tmp_path / "out", **options)
    assert "--tile" not in capsys.readouterr().err


def test_a_limit_of_pixels(trained: Any, tmp_path: Path) -> None:
    make_pictures(tmp_path, "a.png", "b.png")
    Image.new("RGB", (70, 40)).save(tmp_path / "c.png")
    result = predict(
        trained.best, [str(tmp_path)], tmp_path / "out", device="cpu", quiet=True, max_pixels=2400
    )
    assert [path.name for path, _ in result.failed] == ["c.png"]
    assert "over the limit of 2,400 pixels" in result.failed[0][1]


def test_pictures_from_elsewhere(trained: Any, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    images = sorted((trained.data / "images").iterdir())[:2]
    for path in images:
        system.pipe(f"/far/{path.name}", path.read_bytes())
    try:
        far = predict(trained.best, ["memory://far"], tmp_path / "far", device="cpu", quiet=True)
    finally:
        system.rm("/far", recursive=True)
    near = predict(trained.best, [str(path) for path in images], tmp_path / "near", device="cpu", quiet=True)
    assert [found.boxes.tolist() for _, found in far.predictions] == [
        found.boxes.tolist() for _, found in near.predictions
    ]
    assert sorted(path.name for path in far.output.glob("*.png")) == [path.name for path in images]


def test_detections_are_not_held(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pictures there are, those on the way to the disk alone are in memory."""
    source = sorted((trained.data / "images").iterdir())[1]
    (tmp_path / "many").mkdir()
    for number in range(40):
        (tmp_path / "many" / f"{number:02}.png").hardlink_to(source)
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def counting(file: str, found: Any, drawn: str | None = None) -> dict[str, Any]:
        seen.append(weakref.ref(found))
        alive.append(sum(one() is not None for one in seen))
        return picture_row(file, found, drawn)

    monkeypatch.setattr("foveal.verbs.predict_pictures.picture_row", counting)
    result = predict(trained.best, [str(tmp_path / "many")], tmp_path / "out", device="cpu", quiet=True)
    assert result.pictures == len(seen) == 40
    assert max(alive) <= 10


def test_a_password_in_an_address_is_written_nowhere(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    image = sorted((trained.data / "images").iterdir())[1]
    addresses = [f"memory://me:hunter2@far/{name}" for name in ("a.png", "bad.png", "gone.png")]
    system.pipe("/me:hunter2@far/a.png", image.read_bytes())
    system.pipe("/me:hunter2@far/bad.png", b"no picture")
    common: dict[str, Any] = {"device": "cpu", "formats": ["coco,csv,yolo"], "score_thresh": 0.1}
    try:
        result = predict(trained.best, addresses, tmp_path / "out", **common)
        again = predict(trained.best, addresses[:1], result.output, resume=True, **common)
    finally:
        system.rm("/me:hunter2@far", recursive=True)
    said = capsys.readouterr().err
    assert "memory://***@far/bad.png: not a picture that can be read" in said
    assert [row["file"] for row in again.rows()] == ["memory://***@far/a.png"]
    assert [path.name for path in result.output.glob("*.png")] == ["a.png"]
    written = [path.read_bytes() for path in result.output.rglob("*") if path.is_file()]
    assert "hunter2" not in said
    assert all(b"hunter2" not in content for content in written)


def test_pictures_with_boxes_are_not_looked_at_again(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that is written lies in the one that is read, as where both names are left out."""
    make_pictures(tmp_path, "a.jpg", "b.png")
    monkeypatch.chdir(tmp_path)
    for resume in (False, True, False):
        result = predict(trained.best, ["."], device="cpu", quiet=True, resume=resume)
        assert sorted(row["file"] for row in result.rows()) == ["a.jpg", "b.png"]


def test_a_line_is_one_line_whatever_a_file_is_called(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(tmp_path, "a.png")
    (tmp_path / "x\ny.png").write_bytes(b"no picture")
    predict(trained.best, [str(tmp_path)], tmp_path / "o", pictures=False, device="cpu", score_thresh=0.9)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{tmp_path}/x\\ny.png: not a picture")


def test_how_many_are_left_when_it_is_stopped(trained: Any, tmp_path: Path) -> None:
    """Rows of other pictures in the folder do not count."""
    images = [str(path) for path in sorted((trained.data / "images").iterdir())]
    common: dict[str, Any] = {"device": "cpu", "quiet": True, "pictures": False}
    predict(trained.best, images[:5], tmp_path / "out", **common)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foveal.verbs.predict.StopSignals", Stopped)
        with pytest.raises(Interrupted, match="stopped with 3 of 3 still to do"):
            predict(trained.best, images[5:], tmp_path / "out", resume=True, **common)
    assert len(rows_of(tmp_path / "out")) == 5


class Stopped(StopSignals):
    """Ctrl-C came before the first picture."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 2


def test_the_command_and_the_function_have_the_same_defaults() -> None:
    command, function = signature(foveal.cli.predict.predict).parameters, signature(predict).parameters
    other = {"batch": "batch_size", "tile": "tiles"}
    for name, option in command.items():
        default = function[other.get(name, name)].default
        assert (option.default if name != "formats" else (option.default,)) == (
            default if name != "output" else Path(default)
        ), name


@pytest.mark.parametrize(
    ("rate", "said"), [(0.01234, "0.0123 a second"), (12.34, "12.3 a second"), (4321.9, "4,322 a second")]
)
def test_rates_are_numbers_that_people_read(rate: float, said: str) -> None:
    assert a_second(rate) == said


# ---------------------------------------------------------------- videos


def test_a_video(trained: Any, tmp_path: Path) -> None:
    """A picture that moves to the right: what is found keeps its track, frame by frame, with its time."""
    pytest.importorskip("trackers", reason="videos need the extra video")
    from fractions import Fraction

    from foveal.runtime.video import VideoWriter, open_video

    picture = np.asarray(Image.open(sorted((trained.data / "images").iterdir())[1]).convert("RGB"))
    with VideoWriter(tmp_path / "clip.mp4", Fraction(10)) as writer:
        for step in range(6):
            writer.add(Image.fromarray(np.roll(picture, step, axis=1)), step / 10)
    result = predict(
        trained.best,
        [str(tmp_path / "clip.mp4")],
        tmp_path / "out",
        device="cpu",
        quiet=True,
        formats=["csv"],
    )
    (row,) = rows_of(result.output)
    assert (result.videos, result.pictures, row["frames"], row["status"]) == (1, 0, 6, "ok")
    frames = [json.loads(line) for line in (result.output / "clip.jsonl").read_text().splitlines()]
    assert [frame["frame"] for frame in frames] == list(range(6))
    assert [frame["time"] for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-3)
    tracks = [{one["track"] for one in frame["detections"]} - {None} for frame in frames]
    assert tracks[0] == set()
    assert tracks[1]
    assert tracks[1] & tracks[5]
    assert row["tracks"] == len(set.union(*tracks))
    table = (result.output / "clip.csv").read_text().splitlines()
    assert table[0] == "frame,time,track,name,score,x1,y1,x2,y2,label"
    assert len(table) == 1 + sum(len(frame["detections"]) for frame in frames)
    with open_video(str(result.output / "clip.mp4")) as video:
        assert sum(1 for _ in video) == 6
    names = sorted(path.name for path in result.output.iterdir())
    assert names == [
        "clip.csv",
        "clip.jsonl",
        "clip.mp4",
        "detections.csv",
        "detections.jsonl",
        "settings.json",
    ]


@pytest.mark.parametrize(
    ("device", "name", "threads"), [("cpu", "a.png", 0), ("cpu", "s3://b/a.png", 2), ("cuda", "a.png", 2)]
)
def test_who_decodes_ahead(device: str, name: str, threads: int) -> None:
    """On a CPU, threads that decode local files take from the network what they bring."""
    predictor: Any = SimpleNamespace(device=torch.device(device))
    assert _readers(predictor, ["b.png", name]) == threads
