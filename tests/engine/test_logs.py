"""metrics.csv: columns appear when they are first needed, a resumed run writes over what it repeats."""

import csv

import torch

from foveal.engine.logs import MetricsCsv
from foveal.engine.meter import Meter


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


def test_meter_weighs_and_splits():
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0), "level": torch.tensor([1, 2])}, weight=3)
    meter.add({"loss": torch.tensor(5.0), "level": torch.tensor([5, 6])})
    assert meter.means() == {"loss": 2.0, "level.0": 2.0, "level.1": 3.0}
    meter.reset()
    assert meter.means() == {}
