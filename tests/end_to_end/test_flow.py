"""From nothing to drawn detections, by the command as a person types it, and the same from Python."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import foveal
from foveal.build import build_records
from foveal.checkpoint.format import load_checkpoint
from foveal.config.load import data_of, load_config
from foveal.metrics.coco import COCO_METRICS, CocoEvaluator

SMALLER = (
    "data.train.pictures=16",
    "data.val.pictures=4",
    "data.train.size=96",
    "data.val.size=96",
    "data.image_size=[64,64]",
    "data.workers=1",
    "model.architecture.backbone={name: lcnet_050, params: {weights: null, batch_norm: trained, c5: features}}",
    "model.architecture.neck.params.out_channels=32",
    "model.architecture.head.params={anchor_sizes: [[16],[32]], aspect_ratios: [1], num_layers: 1, "
    "norm_type: group_norm, prior_prob: 0.2}",
    "training.batch_size=8",
    "training.validate_every=2",
    "training.epochs=null",
    "training.max_steps=8",
    "training.device=cpu",
)


class Flow(NamedTuple):
    """A folder in which somebody has followed the README, and what the screen showed."""

    folder: Path
    run: Path
    init: Any
    train: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def flow(command: Any, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("flow")
    first = command("init", "shapes", "-o", "shapes.yaml", folder=folder)
    script = Path(sys.executable).parent / "foveal"
    train = subprocess.run(
        [script, "train", "shapes.yaml", *SMALLER], cwd=folder, capture_output=True, text=True, check=False
    )
    return Flow(folder, folder / "runs" / "shapes", first, train)


def test_what_the_screen_shows(flow: Flow) -> None:
    assert (flow.init.code, flow.init.err) == (0, "")
    assert flow.init.out == "wrote shapes.yaml; next: foveal train shapes.yaml\n"
    assert (flow.train.returncode, flow.train.stderr) == (0, "")
    lines = flow.train.stdout.splitlines()
    assert lines[0].startswith("train: 16 pictures, ")
    assert lines[1].startswith("val: 4 pictures, ")
    assert any(re.search(r"\bsteps 8\b|\b8 steps\b", line) for line in lines), lines
    assert sum(line.startswith("epoch ") and "AP50 " in line for line in lines) == 2
    assert lines[-1] == "run folder: runs/shapes"


def test_files_of_the_run(flow: Flow) -> None:
    files = {path.relative_to(flow.run).as_posix() for path in flow.run.rglob("*") if path.is_file()}
    events = {file for file in files if file.startswith("tensorboard/events.out.tfevents")}
    assert len(events) == 1
    galleries = {file for file in files if file.startswith("galleries/")}
    assert "galleries/galleries.json" in galleries
    assert files - events - galleries == {
        "config.yaml",
        "best.safetensors",
        "last.safetensors",
        "resume/last.ckpt",
        "resume/previous.ckpt",
        "metrics.csv",
        "evaluation.json",
        "environment.json",
        "report.html",
    }


def test_config_of_the_run_is_the_one_that_was_trained_with(flow: Flow) -> None:
    given = load_config(flow.folder / "shapes.yaml", SMALLER)
    written = load_config(flow.run / "config.yaml")
    assert written == given
    for name in ("best.safetensors", "last.safetensors"):
        header = load_checkpoint(flow.run / name).header
        assert header.config == written.model_dump(mode="json")
        assert header.classes.names == build_records(data_of(written).train).classes.names
        assert {key: header.size_policy[key] for key in ("height", "width")} == {"height": 64, "width": 64}
        assert header.version == foveal.__version__
        assert set(header.thresholds) <= set(header.classes.names)


def test_curves(flow: Flow) -> None:
    with (flow.run / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {"step", "epoch", "loss", "rate", "val_loss", *COCO_METRICS} <= set(rows[0])
    validations = [row for row in rows if row["AP"]]
    assert [int(row["step"]) for row in validations] == [4, 8]
    board = EventAccumulator(str(flow.run / "tensorboard")).Reload()
    points = board.Scalars("validation/AP")
    assert [point.step for point in points] == [4, 8]
    assert [point.value for point in points] == pytest.approx(
        [float(row["AP"]) for row in validations], rel=1e-4
    )


def test_resume_state_needs_no_code(flow: Flow) -> None:
    state = torch.load(flow.run / "resume" / "last.ckpt", weights_only=True)
    assert state["progress"]["step"] == 8
    trained = load_checkpoint(flow.run / "last.safetensors").state
    assert state["model"].keys() == trained.keys()


def test_evaluation_is_the_same_by_every_way(flow: Flow, command: Any) -> None:
    written = json.loads((flow.run / "evaluation.json").read_text())
    twelve = {name: written[name] for name in COCO_METRICS}
    assert twelve["AP"] > 0
    assert twelve["APl"] is None  # 96 x 96 pixels hold no object over 96 x 96
    done = command("evaluate", "runs/shapes/best.safetensors", "-o", "again.json", folder=flow.folder)
    assert (done.code, done.err) == (0, "")
    assert "best.safetensors on 4 pictures" in done.out
    again = json.loads((flow.folder / "again.json").read_text())
    assert {name: again[name] for name in COCO_METRICS} == twelve
    assert again["per_class"] == written["per_class"]

    val = data_of(load_config(flow.run / "config.yaml")).val
    assert val is not None
    records = build_records(val)
    evaluator = CocoEvaluator(records.ground_truth())
    predictor = foveal.Predictor(flow.run / "best.safetensors", score_thresh=0.0)
    for picture in range(len(records)):
        found = predictor(records.load(picture))
        evaluator.add(int(records.image_ids[picture]), found.boxes, found.scores, found.labels)
    assert evaluator.compute() == pytest.approx(twelve, abs=1e-9)


def test_predict(flow: Flow, command: Any) -> None:
    val = data_of(load_config(flow.run / "config.yaml")).val
    assert val is not None
    records = build_records(val)
    folder = flow.folder / "pictures"
    folder.mkdir()
    for picture in range(len(records)):
        Image.fromarray(records.load(picture)).save(folder / str(records.files[picture]))
    done = command(
        "predict", "runs/shapes/best.safetensors", "pictures", "-o", "found", "--all", folder=flow.folder
    )
    assert done.code == 0
    content = json.loads((flow.folder / "found" / "detections.json").read_text())
    assert len(content["images"]) == 4
    assert re.fullmatch(
        rf"{len(content['annotations'])} detections on 4 pictures, [\d.]+ a second -> found\n", done.err
    )
    drawn = sorted(path.name for path in (flow.folder / "found").glob("*.png"))
    assert drawn == sorted(records.files.tolist())


@pytest.mark.parametrize(
    "verb", ["", "demo", "init", "train", "evaluate", "predict", "config", "config show"]
)
def test_help(command: Any, tmp_path: Path, verb: str) -> None:
    done = command(*verb.split(), "--help", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"Usage: foveal {verb}".rstrip() in done.out
    assert list(tmp_path.iterdir()) == []
