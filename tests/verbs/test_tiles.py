"""Tiles from the configuration to the detections: trained, stored, used by default, and changed on request."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal import cli
from foveal.build import build_loader, build_records
from foveal.checkpoint.format import load_checkpoint
from foveal.config.load import load_config
from foveal.data.shapes import make_shapes
from foveal.errors import UsageError
from foveal.metrics.coco import CocoEvaluator
from foveal.ops.tiles import Tiling
from foveal.runtime.predictor import Predictor
from foveal.runtime.tiling import stored_tiling
from foveal.runtime.validation_set import validation_set
from foveal.verbs.evaluate import evaluate
from foveal.verbs.train import TrainResult, show_batch, train

CUT = ["data.tiles={size: 96, overlap: 0.3, min_visible: 0.5}", "data.image_size=[96, 96]"]


@pytest.fixture(scope="module")
def tiled_run(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Two steps on from the trained model, on 4 tiles of each of its pictures (128 x 128)."""
    folder = tmp_path_factory.mktemp("tiled")
    return train(
        trained.config, [*CUT, "training.max_steps=2"], output=folder, start_from=trained.best, quiet=True
    )


def test_the_tiles_are_in_the_checkpoint(tiled_run: TrainResult) -> None:
    header = load_checkpoint(tiled_run.fit.best_file).header
    assert stored_tiling(header) == Tiling(96, 96, 0.3)
    assert header.size_policy["height"] == 96
    assert header.config["data"]["tiles"] == {
        "size": 96, "overlap": 0.3, "min_visible": 0.5, "keep_empty": 0.2,
    }  # fmt: skip


def test_training_measures_whole_pictures_as_evaluate_does(tiled_run: TrainResult) -> None:
    """The last validation of the run and the verb: the same pictures, boxes and numbers."""
    assert tiled_run.evaluation is not None
    assert tiled_run.evaluation.pictures == 8
    assert tiled_run.fit.best["AP"] == pytest.approx(tiled_run.metrics["AP"], abs=1e-3)
    truth = tiled_run.evaluation.evaluator.ground_truth
    assert set(truth.heights) == {128}
    assert sum(row.boxes for row in tiled_run.evaluation.per_class) == len(truth.labels)


@pytest.mark.parametrize("tiles", [None, 64])
def test_evaluate_measures_what_the_predictor_finds(tiled_run: TrainResult, tiles: int | None) -> None:
    file = tiled_run.fit.best_file
    records = validation_set(load_checkpoint(file).header, file)
    evaluator = CocoEvaluator(records.ground_truth())
    predictor = Predictor(file, "cpu", score_thresh=0.0, tiles=tiles)
    for picture in range(len(records)):
        found = predictor(records.path(picture))
        evaluator.add(int(records.image_ids[picture]), found.boxes, found.scores, found.labels)
    result = evaluate(file, device="cpu", workers=0, quiet=True, tiles=tiles)
    assert result.metrics == pytest.approx(evaluator.compute(), abs=2e-3)
    assert (result.metrics["AR100"] or 0) > 0.1


def test_models_with_and_without_tiles_detect_either_way(trained: Any, tiled_run: TrainResult) -> None:
    picture = sorted((trained.data / "images").iterdir())[1]
    assert Predictor(tiled_run.fit.best_file, "cpu").tiling == Tiling(96, 96, 0.3)
    assert Predictor(tiled_run.fit.best_file, "cpu", tiles="none").tiling is None
    assert Predictor(trained.best, "cpu").tiling is None
    found = Predictor(trained.best, "cpu", tiles=64, score_thresh=0.1)(picture)
    assert len(found)
    assert (found.height, found.width) == (128, 128)
    assert float(found.boxes.max()) <= 128


def foveal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["foveal", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_the_command_predicts_in_tiles(
    trained: Any, tiled_run: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = str(sorted((trained.data / "images").iterdir())[1])
    written = {}
    for name, options in {
        "stored": [],
        "same": ["--tile", "96", "--overlap", "0.3"],
        "other": ["--tile", "64x100"],
        "none": ["--tile", "none"],
    }.items():
        arguments = ["predict", str(tiled_run.fit.best_file), picture, "-o", str(tmp_path / name), "--all"]
        assert foveal(monkeypatch, *arguments, "--device", "cpu", "--no-pictures", *options) == 0
        written[name] = json.loads((tmp_path / name / "detections.json").read_text())["annotations"]
    assert written["stored"]
    assert written["stored"] == written["same"]
    assert written["stored"] != written["none"]
    assert written["other"] != written["none"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--overlap", "1"], "overlap 1 of tiles is not allowed"),
        (["--tile", "16"], "sides are 32..16384 pixels"),
        (["--tile", "none", "--overlap", "0.2"], "has no tiles to act on"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_bad_tiles_are_one_line_and_2(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    verb: str, options: list[str], said: str,
) -> None:  # fmt: skip
    sources = [str(trained.data / "images")] if verb == "predict" else []
    output = ["-o", str(tmp_path / "out")]
    assert foveal(monkeypatch, verb, str(trained.best), *sources, *output, "--device", "cpu", *options) == 2
    captured = capsys.readouterr().err
    assert said in captured
    assert captured.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tiles", "said"),
    [
        (
            "{size: 16}",
            "data.tiles.size: 16 is not allowed; allowed: a whole number in 32..16384 or a list of 2: ",
        ),
        ("{size: [512, 8]}", "data.tiles.size: [512, 8] is not allowed"),
        ("{size: 512, overlap: 1}", "data.tiles.overlap: 1 is not allowed; allowed: a number in 0..0.9"),
        ("{size: 512, keep_empty: 2}", "data.tiles.keep_empty: 2 is not allowed; allowed: a number in 0..1"),
        ("{overlap: 0.2}", "key 'size' is missing in data.tiles"),
        ("{size: 512, overlp: 0.1}", "unknown key 'overlp' in data.tiles; did you mean 'overlap'?"),
        ("512", "data.tiles: 512 is not allowed; allowed: a mapping with the keys size, overlap"),
    ],
)
def test_bad_settings_are_one_line(trained: Any, tiles: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(trained.config, [f"data.tiles={tiles}"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tiles_that_show_no_object_are_refused_before_training(trained: Any) -> None:
    """Only whole objects count, and the one that there is fits into no tile."""
    config = load_config(trained.config, ["data.tiles={size: 32, min_visible: 1.0}"])
    picture = make_shapes(1, 1, 100, seed=0, empty_share=0)
    one = {"boxes": np.array([[10.0, 10, 90, 90]]), "labels": np.zeros(1, int), "crowd": np.zeros(1, bool)}
    records = replace(picture, offsets=np.array([0, 1]), area=np.ones(1), **one)
    with pytest.raises(UsageError, match=r"^data.tiles: no tile shows 1 of a box, .*; take a larger [^\n]*$"):
        build_loader(records, config, train=True)
    assert len(build_loader(records, config, train=False)) > 0


def test_show_batch_shows_tiles(trained: Any, tmp_path: Path) -> None:
    """Cells of the sheet have the canvas' shape: here a square, where the pictures' own canvas is none."""
    config = load_config(trained.config, CUT)
    data = config.data
    assert data is not None
    loader = build_loader(build_records(data.train), config, train=True)
    batch = next(iter(loader))
    assert tuple(batch.images.shape[-2:]) == (96, 96)
    assert {letterbox.height for letterbox in batch.letterboxes} == {96}
    path = show_batch(trained.config, CUT, tmp_path)
    with Image.open(path) as sheet:
        assert min(sheet.size) > 96
