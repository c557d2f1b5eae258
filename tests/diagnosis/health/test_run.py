"""A whole run: its numbers, its warnings in the file, and the same after a resume."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from foveal.engine.health import HEALTH
from foveal.engine.saving import save_sealed
from foveal.errors import DivergedError
from foveal.verbs import train as room
from foveal.verbs.replay import replay
from foveal.verbs.train import train

SHAPES = "{format: shapes, pictures: 24, classes: 3, size: 64}"
SMALL = ["data.image_size=[64, 64]", "training.batch_size=4"]


@pytest.fixture
def config(tmp_path: Path, write_config: Any) -> Path:
    torch.set_num_threads(1)
    path: Path = write_config(tmp_path / "tiny.yaml", SHAPES)
    return path


def said(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / HEALTH).read_text().splitlines()]


def test_anchors_that_meet_no_box_are_told_in_console_and_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [
        *SMALL,
        "training.max_steps=36",
        "model.architecture.head.params.anchor_sizes=[[300],[400],[500]]",
        "model.losses.assigner={name: iou, allow_low_quality: false}",
    ]
    result = train(config, changes, output=tmp_path / "runs")
    lines = said(result.folder)
    assert {line["rule"] for line in lines} >= {"pictures_without_positives", "dead_class"}
    first = next(line for line in lines if line["rule"] == "pictures_without_positives")
    assert first["message"].startswith("100 % of pictures with boxes have no positive anchor: median box ")
    assert first["message"].endswith("smallest anchor 300 px")
    assert first["step"] == 30
    assert f"warning: {first['message']}; {first['fix']}" in capsys.readouterr().out


def test_a_sound_run_has_the_numbers_and_no_warning(config: Path, tmp_path: Path) -> None:
    result = train(config, [*SMALL, "training.max_steps=30"], output=tmp_path / "runs", quiet=True)
    assert not (result.folder / HEALTH).exists()
    with (result.folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    steps = [row for row in rows if row["rate"]]
    assert [int(row["step"]) for row in steps] == [10, 20, 30]
    for row in steps:
        shares = [float(row[f"cls_share_{part}"]) for part in ("objects", "hard", "easy")]
        assert math.isclose(sum(shares), 1, rel_tol=1e-4)
        assert float(row["gradient_norm"]) > 0
        assert 0 <= float(row["data_wait"]) <= 1
        assert 0 <= float(row["clipped_steps"]) <= 1
        assert float(row["boxes"]) > 1
    epochs = [row for row in rows if row["positives_of_class.0"]]
    assert [int(row["step"]) for row in epochs] == [6, 12, 18, 24, 30]
    of_classes = sum(float(row[f"positives_of_class.{k}"]) for row in epochs for k in range(3))
    assert of_classes == pytest.approx(sum(float(row["positives"]) * 40 for row in steps), rel=1e-4)


def test_a_run_that_diverged_is_replayed_and_the_layer_named(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = room.build_detector

    def broken(*args: Any, **options: Any) -> Any:
        detector = whole(*args, **options)
        with torch.no_grad():
            detector.head.bbox_pred.weight.fill_(3e38)  # overflows in the sum over channels
        return detector

    monkeypatch.setattr(room, "build_detector", broken)
    changes = [*SMALL, "training.max_steps=20"]
    with pytest.raises(DivergedError, match="foveal train --replay"):
        train(config, changes, output=tmp_path / "runs")
    folder = tmp_path / "runs" / "tiny"
    lines = said(folder)
    assert [line["rule"] for line in lines] == ["skipped_step"] * 9
    kept = torch.load(folder / "bad_batch.pt", weights_only=True)
    found = replay(folder / "bad_batch.pt")
    assert found.step.bad == "output of head.bbox_pred (Conv2d)"
    assert found.step.detail.startswith("its input: up to ")
    assert found.faults == ()
    for image_id in kept["batch"]["image_ids"]:
        assert f"{image_id} (shape_{image_id:06d}.png)" in found.lines[1]
    assert "non-finite loss or gradient on pictures " in capsys.readouterr().out


def test_a_step_that_is_finite_in_float32_and_boxes_that_are_not(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = room.build_criterion

    def broken(*args: Any) -> Any:
        criterion = whole(*args)
        forward = criterion.forward

        def nan(outputs: Any, targets: Any) -> Any:
            found = forward(outputs, targets)
            return found._replace(losses={**found.losses, "box": found.losses["box"] * float("nan")})

        criterion.forward = nan
        return criterion

    monkeypatch.setattr(room, "build_criterion", broken)
    with pytest.raises(DivergedError):
        train(config, [*SMALL, "training.max_steps=20"], output=tmp_path / "runs", quiet=True)
    file = tmp_path / "runs" / "tiny" / "bad_batch.pt"
    found = replay(file.parent)
    assert found.step.bad == ""
    assert "in float32 the step is finite" in found.lines[-2]
    state = torch.load(file, weights_only=True)
    assert state["bad"] == "loss box"
    target = next(target for target in state["batch"]["targets"] if len(target["boxes"]))
    target["boxes"][0, 2] = float("nan")
    save_sealed(file, state)
    damaged = replay(file)
    assert "1 of" in damaged.faults[0]
    assert "not finite" in damaged.faults[0]
