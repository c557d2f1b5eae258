"""Putting a run back to where it stood, and refusing to where that would mean something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from foveal.engine.keeper import Keeper
from foveal.engine.module import TrainingModule
from foveal.engine.optim import RunLength
from foveal.engine.processes import rank, world_size
from foveal.engine.random_state import restore_random_state, seed_everything
from foveal.engine.stream import TrainingStream
from foveal.errors import UsageError
from foveal.grammar import many


def check_same_data(state: dict[str, Any], length: RunLength, run: Path | None) -> None:
    """A resumed run has the same number of micro-batches and steps: else its position means nothing."""
    before, processes = RunLength(*state["length"]), len(processes_of(state))
    if before != length:
        then, now = "", ""
        if processes != world_size():
            then, now = f" in {many(processes, 'process', 'processes')}", f" in {world_size()}"
        raise UsageError(
            f"{run}: cannot go on, the run had {before.batches_per_epoch} batches an epoch, accumulate "
            f"{before.accumulate} and {before.steps} steps{then}, and now has {length.batches_per_epoch}, "
            f"{length.accumulate} and {length.steps}{now}; resume with the data and settings it began with."
        )


def processes_of(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Random states of a run's processes, in order."""
    processes: list[dict[str, Any]] = state.get("processes") or [state]
    return processes


def start_state(
    module: TrainingModule, stream: TrainingStream, keeper: Keeper, state: dict[str, Any], seed: int
) -> None:
    """Seed a fresh run, or put a resumed one back to where it was."""
    if not state:
        # What is drawn while training (dropout) must differ between the pictures of a global batch.
        seed_everything(seed + rank())
        return
    try:
        module.model.load_state_dict(state["model"])
        if isinstance(module.criterion, nn.Module) and "criterion" in state:
            module.criterion.load_state_dict(state["criterion"])
    except RuntimeError as error:
        raise UsageError(
            f"cannot go on: the resume state is of another model ({str(error).splitlines()[-1].strip()})."
        ) from error
    module.resumed = state
    stream.load_sampler_state(state.get("sampler", {}))
    processes = processes_of(state)
    mine = processes[rank() % len(processes)]
    at_epoch_start = mine["random_at_epoch_start"]
    restore_random_state(at_epoch_start or mine["random"])
    if at_epoch_start is not None:
        # The epoch's order is drawn anew from where it was drawn first, then training goes on from here.
        keeper.restore_random_at_start(mine["random"])
