"""A small training run and what can be seen of it from outside: for the rows that stop one and let it go on."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from foveal.checkpoint.format import load_checkpoint
from foveal.engine.saving import LAST, PREVIOUS, DamagedError, load_sealed

CONFIG = """\
data:
  train: {format: shapes, pictures: 34, classes: 2, size: 64, seed: 3}
  val: {format: shapes, pictures: 10, classes: 2, size: 64, seed: 4}
  image_size: [64, 64]
  augment: {horizontal_flip: 0.5, scale_jitter: [0.7, 1.4], colour: 0.3, crop: 0.3, mosaic: 0.3,
            multi_scale: [1.0, 1.5]}
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
"""All that chance has a part in, two loader processes; AdamW, saved after every epoch of eight steps of four."""


def write_config(folder: Path, steps: int) -> str:
    """Name of the configuration that is written into ``folder``."""
    (folder / "tiny.yaml").write_text(CONFIG.replace("STEPS", str(steps)))
    return "tiny.yaml"


def progress(run: Path) -> dict[str, Any]:
    """Where the newest saved state stands; empty before there is one."""
    for name in (LAST, PREVIOUS):  # between a save's two renames there is no last one
        with suppress(DamagedError):
            found: dict[str, Any] = load_sealed(run / name)["progress"]
            return found
    return {}


def steps_saved(run: Path) -> int:
    """Step of the newest saved state; 0 before there is one."""
    return int(progress(run).get("step", 0))


def children(parent: int) -> list[int]:
    """Processes that another has started and that live, in the order of their start."""
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


def start_time(pid: int) -> str:
    """When a process was started, which tells it from a later one of the same number; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def stray_files(folder: Path) -> list[str]:
    """Temporary files that a writer has left."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*.tmp"))


def digest(run: Path) -> str:
    """SHA-256 of the tensors and numbers of model, optimiser and weight average, in order."""
    state = load_sealed(run / LAST)
    return sha256({name: state[name] for name in ("model", "optimizer", "average")})


def sha256(value: Any) -> str:
    """Of all tensors and numbers in a value, in order."""
    total = hashlib.sha256()
    for part in _flat(value):
        total.update(part)
    return total.hexdigest()


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield value.contiguous().numpy().tobytes()
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _flat(value[key])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield repr(value).encode()


def results(run: Path) -> dict[str, Any]:
    """What else a run leaves that must not differ: rows but for what is timed, figures, weights."""
    with (run / "metrics.csv").open(newline="") as stream:
        rows = [
            {name: text for name, text in row.items() if name != "data_wait"}
            for row in csv.DictReader(stream)
        ]
    # Not as bytes: the order of the two entries of their metadata is drawn anew for every file.
    weights = {name: load_checkpoint(run / name) for name in ("best.safetensors", "last.safetensors")}
    files = {name: (repr(file.header), sha256(file.state)) for name, file in weights.items()}
    measured = json.loads((run / "evaluation.json").read_text())
    del measured["checkpoint"]  # where it is
    return {"metrics.csv": rows, "evaluation.json": measured, **files}


def differing(first: Path, second: Path) -> list[str]:
    """Names of the results in which two runs differ."""
    one, two = results(first), results(second)
    return [name for name in one if one[name] != two[name]]
