"""However several processes end, they end alike, and one of them says why."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from foveal.data.shapes import make_shapes, write_shapes

FAILING = Path(__file__).with_name("failing.py")


def states(first: Path, second: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Resume states of two runs, without the time that they took."""
    both = [torch.load(folder / "resume" / "last.ckpt", weights_only=True) for folder in (first, second)]
    for state in both:
        state["progress"].pop("seconds")
    return both[0], both[1]


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


@pytest.mark.parametrize(
    ("number", "code", "to"), [(signal.SIGTERM, 143, (0, 1)), (signal.SIGINT, 130, (1,))], ids=["all", "one"]
)
def test_a_signal_to_all_or_one(
    ranks: Any, config: Path, undisturbed: Path, number: signal.Signals, code: int, to: tuple[int, ...]
) -> None:
    """The whole group of a process is told, its loaders too, as torchrun does; resumed, it has the same bits."""
    run = config.parent / "runs" / number.name
    running = ranks.start("train", config, "--name", number.name, folder=config.parent)
    running.wait_for((run / "resume" / "last.ckpt").exists, "the first validation")
    began = time.monotonic()
    for rank in to:
        os.killpg(running.pids[rank], number)
    done = running.wait()
    assert time.monotonic() - began < 60
    assert done.codes == [code, code], done.err
    said = [line for err in done.err for line in err.splitlines() if "warning" not in line]
    assert len(said) == 1, said
    assert said[0].startswith("foveal: stopped at step ")
    assert f"nothing lost; go on with: foveal train --resume runs/{number.name}" in said[0]
    assert ranks("train", "--resume", run, folder=config.parent).codes == [0, 0]
    assert_equal(*states(run, undisturbed))


def test_resumed_by_another_number_of_processes(ranks: Any, config: Path) -> None:
    """With the same global batch it goes on, and says what differs; with another it is refused."""
    run = config.parent / "runs" / "fewer"
    changes = ("training.max_steps=8", "training.ema=null")
    running = ranks.start("train", config, *changes, "--name", "fewer", folder=config.parent)
    running.wait_for((run / "resume" / "last.ckpt").exists, "the first validation")
    os.kill(running.pids[1], signal.SIGTERM)
    assert running.wait().codes == [143, 143]
    refused = ranks("train", "--resume", run, folder=config.parent, count=1)
    assert refused.codes == [2]
    assert "8 steps in 2 processes, and now has 8, 1 and 8 in 1" in refused.err[0]
    done = ranks("train", "--resume", run, "training.batch_size=8", folder=config.parent, count=1)
    assert done.codes == [0], done.err
    assert "the run had 2 processes, now it has 1: the same pictures in every step" in done.out[0]


def test_a_killed_process_ends_the_others(ranks: Any, config: Path) -> None:
    run = config.parent / "runs" / "orphan"
    running = ranks.start("train", config, "--name", "orphan", folder=config.parent)
    running.wait_for((run / "resume" / "last.ckpt").exists, "the first validation")
    os.kill(running.pids[1], signal.SIGKILL)
    done = running.wait()
    assert done.codes == [143, -signal.SIGKILL], done.err
    assert "another process of this run has ended" in done.err[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("training.bach_size=3",), 2, "training.bach_size"),
        (
            ("data.train.annotations=nowhere.json", "data.train.format=coco", "data.train.images=nowhere"),
            3,
            "nowhere.json",
        ),
        (
            ("model.architecture.backbone.params.batch_norm=trained",),
            2,
            "params.batch_norm=frozen, or start one",
        ),
        (("training.device=cuda:0",), 2, "training.device"),
    ],
    ids=["setting", "data", "batch norm", "device"],
)
def test_a_refusal_is_said_once(ranks: Any, config: Path, arguments: Any, code: int, message: str) -> None:
    done = ranks("train", config, *arguments, "--name", "refused", folder=config.parent)
    assert done.codes == [code, code], done.err
    said = "".join(done.err)
    assert said.count("foveal: ") - said.count("foveal: warning") == 1, said
    assert message in said
    assert not (config.parent / "runs" / "refused").exists()


def test_a_fault_of_one_process_ends_all(ranks: Any, config: Path, tmp_path: Path) -> None:
    """Of eight pictures one cannot be read: the process that meets it says so."""
    data = tmp_path / "data"
    write_shapes(make_shapes(8, 2, 64, seed=1), data)
    broken = sorted((data / "images").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:100])
    source = f"data.train={{format: coco, annotations: {data}/annotations.json, images: {data}/images}}"
    changes = (source, "data.val=null", "data.strict=true", "data.class_aware_sampling=false")
    done = ranks("train", config, *changes, "data.augment.mosaic=0", folder=tmp_path)
    assert done.codes == [3, 3], done.err
    said = [line for err in done.err for line in err.splitlines() if "warning" not in line]
    assert len(said) == 1, said
    assert broken.name in said[0]


def test_what_only_one_process_lacks_leaves_no_folder(ranks: Any, config: Path, tmp_path: Path) -> None:
    """As when a machine has no data: nothing is made before all have what they need."""
    words = ("foveal.verbs.train.load_data", "1", "DataError", "train", config)
    done = ranks(*words, folder=tmp_path, script=FAILING)
    assert done.codes == [3, 3], done.err
    assert "".join(done.err).count("load_data fails in process 1") == 1
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_of_the_first_process_ends_all(ranks: Any, config: Path, tmp_path: Path) -> None:
    words = ("foveal.engine.keeper.save_resume_state", "0", "DiskError", "train", config)
    done = ranks(*words, folder=tmp_path, script=FAILING)
    assert done.codes == [5, 5], done.err
    assert "".join(done.err).count("foveal: ") - "".join(done.err).count("foveal: warning") == 1
    assert done.err[0].endswith("foveal: foveal.engine.keeper.save_resume_state fails in process 0\n")


def test_the_first_process_reads_the_state_for_all(
    ranks: Any, config: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Another may see an older file, or fall back to the one before, and would go on from another step."""
    run = shutil.copytree(undisturbed, tmp_path / "runs" / "copy")
    words = ("foveal.engine.fit.load_resume_state", "1", "ModelFileError", "train", "--resume", run)
    done = ranks(*words, folder=tmp_path, script=FAILING)
    assert done.codes == [0, 0], done.err


def test_other_verbs_are_for_one_process(ranks: Any, tmp_path: Path) -> None:
    done = ranks("doctor", "data", folder=tmp_path, TORCHELASTIC_RUN_ID="none")
    assert done.codes == [2, 2]
    assert "torchrun is for foveal train: start foveal doctor in one process" in done.err[0]


def test_half_of_torchruns_surroundings(ranks: Any, config: Path) -> None:
    done = ranks("train", config, folder=config.parent, count=1, WORLD_SIZE="2")
    assert done.codes == [2]
    assert done.err[0].startswith(
        "foveal: WORLD_SIZE is 2, but RANK is not set: start several processes with torch"
    )
