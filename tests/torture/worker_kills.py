"""R2 whole: two processes under torchrun, of which one is killed with SIGKILL again and again.

    python tests/torture/worker_kills.py [--kills 5] [--processes 2] [--seed 0]

Trains a small detector once undisturbed and once with kills, each of a random process: the first at a random
moment of its start, the others spread over the work, each a random while later. torchrun starts the processes
again by itself. Ends with 0 if it did and the SHA-256 of model and optimiser is that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

CONFIG = """\
data:
  train: {format: shapes, pictures: 34, classes: 2, size: 64, seed: 3}
  val: {format: shapes, pictures: 10, classes: 2, size: 64, seed: 4}
  image_size: [64, 64]
  augment: {horizontal_flip: 0.5, scale_jitter: [0.7, 1.4], colour: 0.3, mosaic: 0.3, multi_scale: [1.0, 1.5]}
  class_aware_sampling: true
  workers: 2
model:
  architecture:
    backbone: {name: lcnet_050, params: {weights: null, batch_norm: frozen}}
    neck: {params: {out_channels: 32, norm_type: group_norm}}
    head:
      params: {anchor_sizes: [[16], [32], [64]], aspect_ratios: [1.0], num_layers: 1, norm_type: group_norm}
training:
  max_steps: STEPS
  batch_size: 4
  ema: {decay: 0.9}
  device: cpu
"""


def main() -> int:
    """Run it; 0 where all is as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "tiny.yaml").write_text(CONFIG.replace("STEPS", str(choice.steps)))
        began = time.monotonic()
        quiet = start(root, "undisturbed", choice)
        whole = quiet.wait(), time.monotonic() - began
        began = time.monotonic()
        running = start(root, "killed", choice)
        moments = list(kill(running, root / "runs" / "killed", choice))
        code = running.wait()
        print(f"undisturbed: exit code {whole[0]}, {whole[1]:.0f} s")
        print(f"{len(moments)} processes killed, {time.monotonic() - began:.0f} s: {'; '.join(moments)}")
        folders = sorted(path.name for path in (root / "runs").iterdir())
        sums = [digest(root / "runs" / name) for name in ("undisturbed", "killed")]
        print(f"exit code {code}; run folders: {', '.join(folders)}")
        print(f"SHA-256 of model and optimiser: {sums[0][:16]} undisturbed, {sums[1][:16]} killed")
        good = code == whole[0] == 0 and sums[0] == sums[1] and len(moments) == choice.kills
        good = good and folders == ["killed", "undisturbed"]
        if not good:
            print((root / "killed.log").read_text())
    print("equal" if good else "NOT EQUAL")
    return int(not good)


def start(root: Path, name: str, choice: argparse.Namespace) -> subprocess.Popen[bytes]:
    """torchrun at work; what it says goes to NAME.log."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(choice.processes)]
    words += ["--max-restarts", str(choice.kills), "-m", "foveal", "train", "tiny.yaml", "--name", name]
    with (root / f"{name}.log").open("wb") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        return subprocess.Popen(words, cwd=root, stdout=log, stderr=log, env=environment)


def kill(running: subprocess.Popen[bytes], run: Path, choice: argparse.Namespace) -> Iterator[str]:
    """Kill one worker after another; what each kill was."""
    chance = random.Random(choice.seed)
    for number in range(choice.kills):
        wanted = number * choice.steps // choice.kills
        while running.poll() is None and (step := steps_saved(run)) < wanted:
            time.sleep(0.02)
        while running.poll() is None and len(workers := children(running.pid)) < choice.processes:
            time.sleep(0.02)
        if running.poll() is not None:
            return
        began = time.monotonic()
        # A start takes seconds, a step a fraction of one, a save less.
        wait = chance.uniform(0, 8 if number == 0 else 3)
        while time.monotonic() < began + wait:
            time.sleep(0.001)
        rank = chance.randrange(len(workers))
        try:
            os.kill(workers[rank], signal.SIGKILL)
        except ProcessLookupError:
            return
        yield f"process {rank} {wait:.2f} s after step {step} was saved"
        while running.poll() is None and not set(workers).isdisjoint(children(running.pid)):
            time.sleep(0.02)


def steps_saved(run: Path) -> int:
    """Step of the newest resume state; 0 before there is one."""
    try:
        state = torch.load(run / "resume" / "last.ckpt", weights_only=True)
    except (OSError, RuntimeError):  # none yet, or just being replaced
        return 0
    return int(state["progress"]["step"])


def children(parent: int) -> list[int]:
    """Processes that torchrun has started and that live, in the order of their start."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, its_parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(its_parent) == parent and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def digest(run: Path) -> str:
    """SHA-256 of the model's and the optimiser's tensors and numbers, in order."""
    state = torch.load(run / "resume" / "last.ckpt", weights_only=True)
    total = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            total.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                total.update(str(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for part in value:
                add(part)
        else:
            total.update(repr(value).encode())

    add({name: state[name] for name in ("model", "optimizer", "average")})
    return total.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
