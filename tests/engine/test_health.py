"""Warnings are handed through, written down once, and the same after a resume."""

from __future__ import annotations

import json
import math
from collections import namedtuple

import pytest
import torch

from foveal.config.schema import AdamW, Training
from foveal.engine.fit import fit
from foveal.engine.health import HEALTH, HealthLog
from foveal.engine.meter import EpochTotals
from foveal.errors import Interrupted

Remark = namedtuple("Remark", "rule severity message fix")


def lines(folder):
    return [json.loads(line) for line in (folder / HEALTH).read_text().splitlines()]


def test_what_is_no_number_is_not_shown(tmp_path):
    seen = []
    log = HealthLog(tmp_path, lambda *row: seen.append(row) or (), print, True)
    log.row(5, 1, {"loss": 1.5, "AP": None, "norm": math.nan, "rate": math.inf})
    assert seen == [(5, 1, {"loss": 1.5})]
    assert not (tmp_path / HEALTH).exists()


def test_a_resumed_run_shows_the_rows_before_and_drops_the_lines_after(tmp_path):
    said = []
    log = HealthLog(
        tmp_path, lambda step, *_: [Remark("r", "warning", f"step {step}", "do")], said.append, True
    )
    for step in (10, 20, 30):
        log.row(step, 0, {"loss": 1.0})
    assert said[0] == "warning: step 10; do"
    with (tmp_path / HEALTH).open("a") as stream:
        stream.write('{"step": 4')  # cut off by a crash
    shown = []
    HealthLog(
        tmp_path,
        lambda step, epoch, values: shown.append((step, values)) or (),
        said.append,
        True,
        20,
        [{"step": 10.0, "epoch": 0.0, "loss": 1.0}, {"step": 20.0, "epoch": 0.0, "loss": 0.5}],
    )
    assert shown == [(10, {"loss": 1.0}), (20, {"loss": 0.5})]
    assert [line["step"] for line in lines(tmp_path)] == [10, 20]
    HealthLog(tmp_path, None, said.append, True)
    assert lines(tmp_path) == []


def test_totals_are_of_whole_epochs():
    totals = EpochTotals()
    totals.add({"count": torch.tensor([1.0, 2.0])}, begins=False)
    assert totals.values() == {}
    for begins in (True, False):
        totals.add({"count": torch.tensor([1.0, 2.0])}, begins)
    assert totals.values() == {"count.0": 2.0, "count.1": 4.0}
    totals.add({"count": torch.tensor([5.0, 0.0])}, begins=True)
    assert totals.values() == {"count.0": 5.0, "count.1": 0.0}


def start(tiny, folder, watcher, loader=None, criterion=None, resume=False, **settings):
    torch.manual_seed(5)
    chosen = {"device": "cpu", "batch_size": 4, "epochs": 6, "optimizer": AdamW(lr_per_16=0.05), **settings}
    return fit(
        tiny.TinyModel(),
        criterion or tiny.criterion,
        tiny.postprocess,
        loader or tiny.make_loader(),
        tiny.make_loader(10, shuffle=False),
        tiny.MeanEvaluator(),
        Training(**chosen),
        folder,
        tiny.save_weights,
        folder if resume else None,
        quiet=True,
        watcher=watcher,
    )


class Counting:
    """Says something on every fourth row that it has seen since the beginning."""

    def __init__(self):
        self.rows = 0

    def __call__(self, step, epoch, values):
        self.rows += 1
        return [Remark(f"row {self.rows}", "note", sorted(values)[0], "")] if self.rows % 4 == 0 else []


def test_a_resumed_run_says_what_an_undisturbed_one_says(tiny, tmp_path):
    import os
    import signal

    calls = 0

    def stopping(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == 31:
            os.kill(os.getpid(), signal.SIGTERM)
        return tiny.criterion(outputs, targets)

    start(tiny, tmp_path / "a", Counting())
    with pytest.raises(Interrupted):
        start(tiny, tmp_path / "b", Counting(), criterion=stopping)
    assert 0 < len(lines(tmp_path / "b")) < len(lines(tmp_path / "a"))
    start(tiny, tmp_path / "b", Counting(), resume=True)
    assert [line["rule"] for line in lines(tmp_path / "b")] == [
        line["rule"] for line in lines(tmp_path / "a")
    ]


def test_every_tenth_step_is_inspected_and_the_outputs_are_let_go(tiny, tmp_path):
    asked, stats = [], []

    def criterion(outputs, targets):
        found = tiny.criterion(outputs, targets)
        step = len(stats)
        stats.append(step)

        def inspect():
            asked.append(step)
            return {"extra": torch.tensor(float(step))}

        return found._replace(inspect=inspect)

    result = start(tiny, tmp_path, None, criterion=criterion, epochs=None, max_steps=6)
    assert result.steps == 6
    assert asked == [0]
    with (tmp_path / "metrics.csv").open() as stream:
        assert "extra" in stream.readline()
