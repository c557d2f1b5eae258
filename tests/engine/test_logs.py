"""metrics.csv: columns appear when first needed, a resumed run writes over what it repeats; the curves."""

import csv
import threading

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from foveal.engine.logs import MetricsCsv, TensorBoard
from foveal.engine.meter import Meter
from foveal.errors import DiskError


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_new_columns_keep_old_rows(tmp_path):
    log = MetricsCsv(tmp_path)
    log.write(1, 0, {"loss": 0.5})
    log.write(2, 0, {"AP": 0.25, "AP50": None})
    assert rows(tmp_path) == [
        {"step": "1", "epoch": "0", "loss": "0.5", "AP": "", "AP50": ""},
        {"step": "2", "epoch": "0", "loss": "", "AP": "0.25", "AP50": ""},
    ]


def test_resuming_drops_what_is_written_again_and_a_torn_row(tmp_path):
    log = MetricsCsv(tmp_path)
    for step in (1, 2, 3):
        log.write(step, 0, {"loss": 1.0})
    with (tmp_path / "metrics.csv").open("a") as stream:
        stream.write(",")
    MetricsCsv(tmp_path, resume_step=2).write(3, 0, {"loss": 2.0})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [("1", "1"), ("2", "1"), ("3", "2")]


def curve(folder, name):
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(point.step, point.value) for point in board.Scalars(name)]


def test_points_are_in_the_file_when_they_are_written(tmp_path):
    """A killed run has its curves whole, and there is no thread to print what it could not write."""
    threads = threading.active_count()
    board = TensorBoard(tmp_path)
    for step in (10, 20, 30):
        board.write("train", step, {"loss": 1 / step, "AP": None, "epoch": 0})
    assert threading.active_count() == threads
    assert curve(tmp_path, "train/loss") == [(step, pytest.approx(1 / step)) for step in (10, 20, 30)]
    assert EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["scalars"] == ["train/loss"]


def test_curves_of_a_resumed_run_go_on_from_its_step(tmp_path, monkeypatch):
    for process, (first, value) in enumerate([(0, 1.0), (20, 2.0)]):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        board = TensorBoard(tmp_path, first)
        for step in range(first + 10, 40, 10):
            board.write("train", step, {"loss": value})
    assert curve(tmp_path, "train/loss") == [(10, 1.0), (20, 1.0), (30, 2.0)]


def test_a_curve_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "tensorboard").touch()
    with pytest.raises(DiskError, match=r"tensorboard/events\.out\.tfevents"):
        TensorBoard(tmp_path)


def test_meter_weighs_and_splits():
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0), "level": torch.tensor([1, 2])}, weight=3)
    meter.add({"loss": torch.tensor(5.0), "level": torch.tensor([5, 6])})
    assert meter.means() == {"loss": 2.0, "level.0": 2.0, "level.1": 3.0}
    meter.reset()
    assert meter.means() == {}
