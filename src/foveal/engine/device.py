"""Settings `device` and `precision` -> what the trainer is to use, or a clear refusal."""

from __future__ import annotations

import os
from typing import Any

import torch

from foveal.engine.processes import world_size
from foveal.errors import UsageError

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "16-mixed": "16-mixed"}


def device_type(device: str) -> str:
    """``cpu``, ``cuda`` or ``mps`` for a setting such as ``auto`` or ``cuda:1``; UsageError where absent."""
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"training.device: {device!r} is not known; use auto, cpu, cuda, cuda:1 or mps.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UsageError(
                f"training.device: {device} asked for, but there is no CUDA device; use auto or cpu."
            )
        if index and int(index) >= count:
            last = f"cuda:{count - 1}"
            raise UsageError(f"training.device: {device} asked for, but the last one is {last}.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("training.device: mps asked for, but this machine has none; use auto or cpu.")
    return kind


def trainer_hardware(device: str, precision: str) -> dict[str, Any]:
    """Arguments of the trainer for accelerator, devices, strategy and precision.

    One device, unless torchrun started several processes (WORLD_SIZE): then one per local process, with DDP.
    UsageError for 16-mixed off CUDA, which the trainer would silently make bf16.
    """
    kind = device_type(device)
    if precision == "16-mixed" and kind != "cuda":
        raise UsageError(
            f"training.precision: 16-mixed needs a CUDA device, and this run is on {kind}; use fp32 or bf16."
        )
    arguments: dict[str, Any] = {
        "accelerator": {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[kind],
        "precision": PRECISIONS[precision],
    }
    if world_size() == 1:
        _, _, index = device.partition(":")
        return {**arguments, "devices": [int(index)] if index else 1}
    return {**arguments, **_several_processes(device, kind)}


def _several_processes(device: str, kind: str) -> dict[str, Any]:
    """Strategy and devices where torchrun started several processes: a device each, gradients averaged by DDP."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))
    if world_size() % local:
        raise UsageError(
            f"{world_size()} processes, {local} of them on this machine: give every machine the same number."
        )
    if kind == "mps" or ":" in device:
        raise UsageError(
            f"training.device: {device} is one device, and there are {world_size()} processes; use cuda or cpu."
        )
    if kind == "cuda" and local > torch.cuda.device_count():
        raise UsageError(
            f"{local} processes on a machine with {torch.cuda.device_count()} CUDA devices: start one for each "
            "(torchrun --nproc-per-node)."
        )
    # Slow to import, and only several processes need them.
    from pytorch_lightning.plugins.environments import TorchElasticEnvironment  # type: ignore[attr-defined]
    from pytorch_lightning.strategies import DDPStrategy

    strategy = DDPStrategy(
        cluster_environment=TorchElasticEnvironment(),
        # Every trained weight is in every loss, and no buffer differs: batch norm is frozen or synchronised.
        find_unused_parameters=False,
        broadcast_buffers=False,
    )
    return {"strategy": strategy, "devices": local, "num_nodes": world_size() // local}
