"""R2: a process dies, torchrun starts all of them again with the same words, and the run ends in the same bits.

With torchrun itself: ``python tests/torture R2``.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from foveal.engine.saving import LAST, load_sealed


def weights(run: Path) -> dict[str, Any]:
    state = load_sealed(run / LAST)
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


def test_what_stays_wrong_is_said_once(ranks: Any, config: Path) -> None:
    """torchrun starts it again as often as it is told to, with its store as it was."""
    words = ("train", config, "training.devise=cpu")
    done = [ranks(*words, folder=config.parent, TORCHELASTIC_RESTART_COUNT=str(count)) for count in range(2)]
    assert [each.codes for each in done] == [[2, 2], [2, 2]]
    said = "".join(line for each in done for line in each.err)
    assert said.count("training.devise") == 1, said


def test_three_processes_sum_in_the_same_order_after_a_restart(
    ranks: Any, config: Path, tmp_path: Path
) -> None:
    """Two sum alike in any order; with three, how DDP lays out the gradients shows in the last bit."""
    changes = ("training.max_steps=12", "data.val=null")
    whole, cut = tmp_path / "runs" / "whole", tmp_path / "runs" / "cut"
    assert ranks("train", config, *changes, "--name", "whole", folder=tmp_path, count=3).codes == [0, 0, 0]
    running = ranks.start("train", config, *changes, "--name", "cut", folder=tmp_path, count=3)
    running.wait_for((cut / "resume" / "last.ckpt").exists, "the first epoch")
    os.kill(running.pids[2], signal.SIGTERM)
    assert running.wait().codes == [143, 143, 143]
    done = ranks("train", "--resume", cut, folder=tmp_path, count=3)
    assert done.codes == [0, 0, 0], done.err
    assert_equal(weights(cut), weights(whole))
