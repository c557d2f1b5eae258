"""A training process that is stopped from outside goes on, and ends in the same bits as one that was not."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from foveal.checkpoint.format import load_checkpoint

SHAPES = "{format: shapes, pictures: 16, classes: 2, size: 64, seed: 3}"
VAL = "{format: shapes, pictures: 4, classes: 2, size: 64, seed: 4}"
CHANGES = (
    "data.workers=2",
    "data.image_size=[64,64]",
    "data.augment={horizontal_flip: 0.5, scale_jitter: [0.7, 1.4], colour: 0.3, crop: 0.3, mosaic: 0.3, "
    "multi_scale: [1.0, 1.5]}",
    "training.max_steps=24",
    "training.batch_size=4",
    "training.ema={decay: 0.9}",
)
"""Four steps an epoch, six validations."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_config: Any) -> Path:
    return write_config(tmp_path_factory.mktemp("resume") / "tiny.yaml", SHAPES, VAL)


@pytest.fixture(scope="module")
def undisturbed(command: Any, config: Path) -> Path:
    done = command("train", config, *CHANGES, "--name", "whole", folder=config.parent)
    assert (done.code, done.err) == (0, "")
    return config.parent / "runs" / "whole"


def assert_same(first: Path, second: Path) -> None:
    """Weights, all that is said about them (thresholds, metrics, settings), optimiser and random state."""
    assert (first / "config.yaml").read_bytes() == (second / "config.yaml").read_bytes()
    for name in ("best.safetensors", "last.safetensors"):
        mine, theirs = load_checkpoint(first / name), load_checkpoint(second / name)
        assert mine.header == theirs.header
        assert_equal(mine.state, theirs.state)
    states = [torch.load(folder / "resume" / "last.ckpt", weights_only=True) for folder in (first, second)]
    for state in states:
        state["progress"].pop("seconds")
    assert_equal(*states)


def assert_equal(first: Any, second: Any, where: str = "") -> None:
    """To the last bit, at every depth."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_equal(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_equal(one, other, f"{where}[{place}]")
    else:
        assert first == second, where


def stop(command: Any, config: Path, name: str, number: int, after: str) -> tuple[Any, Path]:
    """A run that gets a signal once a file is there."""
    run = config.parent / "runs" / name
    running = command.start("train", config, *CHANGES, "--name", name, folder=config.parent)
    running.wait_for((run / after).exists, f"{after} of {name}")
    began = time.monotonic()
    running.signal(number)
    done = running.wait()
    assert time.monotonic() - began < 60
    return done, run


@pytest.mark.parametrize(
    ("number", "code", "after"),
    [(signal.SIGINT, 130, "resume/previous.ckpt"), (signal.SIGTERM, 143, "last.safetensors")],
)
def test_stopped_by_a_signal_and_resumed(
    command: Any, config: Path, undisturbed: Path, number: int, code: int, after: str
) -> None:
    done, run = stop(command, config, number.name, number, after)
    assert done.code == code
    line = re.fullmatch(
        r"foveal: stopped at step (\d+) of 24, nothing lost; go on with: foveal train --resume (\S+)\n",
        done.err,
    )
    assert line is not None, done.err
    assert 0 < int(line[1]) < 24
    again = command("train", "--resume", line[2], folder=config.parent)
    assert (again.code, again.err) == (0, "")
    assert_same(run, undisturbed)
    first, second = (json.loads((folder / "evaluation.json").read_text()) for folder in (run, undisturbed))
    assert first.pop("checkpoint") != second.pop("checkpoint")
    assert first == second
    with (run / "metrics.csv").open(newline="") as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream) if row["AP"]]
    assert steps == list(range(4, 25, 4))


def test_killed_and_resumed(command: Any, config: Path, undisturbed: Path) -> None:
    """SIGKILL leaves no word; the run goes on from its last validation."""
    done, run = stop(command, config, "killed", signal.SIGKILL, "resume/previous.ckpt")
    assert (done.code, done.err) == (-signal.SIGKILL, "")
    assert load_checkpoint(run / "last.safetensors").header.facts["step"] < 24
    assert command("train", "--resume", run, folder=config.parent).code == 0
    assert_same(run, undisturbed)


def test_damaged_resume_state(command: Any, config: Path, undisturbed: Path) -> None:
    """The last state is cut off: the one before it is taken, which is said."""
    run = config.parent / "runs" / "damaged"
    shutil.copytree(undisturbed, run)
    last = run / "resume" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    (run / "last.safetensors").unlink()
    done = command("train", "--resume", run, folder=config.parent)
    assert done.code == 0, done.err
    assert f"{last}: damaged" in done.out
    assert "going on from resume/previous.ckpt" in done.out
    assert_same(run, undisturbed)
