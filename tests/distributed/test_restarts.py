"""R2: a process dies, torchrun starts all of them again with the same words, and the run ends in the same bits.

With torchrun itself: ``python tests/torture/worker_kills.py``.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch


def weights(run: Path) -> dict[str, Any]:
    state = torch.load(run / "resume" / "last.ckpt", weights_only=True)
    return {name: state[name] for name in ("model", "optimizer", "average")}


def assert_equal(first: Any, second: Any, where: str = "") -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_equal(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_equal(one, other, f"{where}[{place}]")
    else:
        assert first == second, where


def test_killed_and_started_again(ranks: Any, config: Path, undisturbed: Path) -> None:
    """Before there is a state, and after; each time by the command that began the run."""
    run = config.parent / "runs" / "killed"
    torchrun = {"TORCHELASTIC_RUN_ID": "none"}
    words = ("train", config, "--name", "killed")
    for count, (file, rank) in enumerate([("config.yaml", 1), ("resume/last.ckpt", 0)]):
        torchrun["TORCHELASTIC_RESTART_COUNT"] = str(count)
        running = ranks.start(*words, folder=config.parent, **torchrun)
        running.wait_for((run / file).exists, file)
        os.kill(running.pids[rank], signal.SIGKILL)
        assert running.wait().codes[rank] == -signal.SIGKILL
    torchrun["TORCHELASTIC_RESTART_COUNT"] = "2"
    done = ranks(*words, folder=config.parent, **torchrun)
    assert done.codes == [0, 0], done.err
    assert "started again by torchrun: going on with runs/killed" in done.out[0]
    assert not (config.parent / "runs" / "killed-2").exists()
    assert_equal(weights(run), weights(undisturbed))


def test_another_torchrun_begins_another_run(ranks: Any, config: Path) -> None:
    """The same words by the same shell script, a day later."""
    changes = ("training.max_steps=4", "data.val=null", "--name", "again")
    for count in range(2):
        done = ranks("train", config, *changes, folder=config.parent, TORCHELASTIC_RUN_ID=f"job{count}")
        assert done.codes == [0, 0], done.err
    assert (config.parent / "runs" / "again-2" / "last.safetensors").is_file()
