"""Non-finite losses and gradients: leave the step out, and stop a run that gives nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveal.engine.saving import plain
from foveal.errors import DivergedError
from foveal.files import write_atomically
from foveal.types import LossOutput

SKIPS_IN_ROW = 10
"""So many skipped steps one after another mean that the run has diverged."""
BAD_BATCH = "bad_batch.pt"


class StatisticsKeeper:
    """Puts BatchNorm's running statistics back where a skipped step made them non-finite."""

    def __init__(self, model: nn.Module) -> None:
        self._live = [
            buffer
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
            for buffer in module.buffers(recurse=False)
            if buffer.is_floating_point()
        ]
        self._good = [buffer.detach().clone() for buffer in self._live]

    @torch.no_grad()
    def keep(self) -> None:
        """The step was good: its statistics are the ones to go back to."""
        if self._live:
            torch._foreach_copy_(self._good, self._live)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the last good step's statistics."""
        if self._live:
            torch._foreach_copy_(self._live, self._good)


def first_bad_tensor(losses: LossOutput, model: nn.Module) -> str:
    """Name of the first non-finite loss, else of the first non-finite gradient (before they are cleared)."""
    for name, value in losses.losses.items():
        if not math.isfinite(float(value)):
            return f"loss {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"gradient of {name}"
    return "norm of the gradients"


def first_bad_batch(pending: list[tuple[Any, LossOutput]]) -> tuple[Any, LossOutput]:
    """The first micro-batch of a step whose loss is not finite; where all are, the last one."""
    for batch, losses in pending:
        if not all(math.isfinite(float(value)) for value in losses.losses.values()):
            return batch, losses
    return pending[-1]


def stop_diverged(run_folder: Path, step: int, batch: Any, losses: LossOutput, bad: str) -> DivergedError:
    """Save the batch for replay and word the error to raise.

    ``bad_batch.pt``: a dict of the batch's fields, the losses by name, the step and the name of the bad tensor;
    loads with ``weights_only=True``.
    """
    state = {"batch": plain(batch), "losses": plain(losses.losses), "step": step, "bad": bad}
    file = run_folder / BAD_BATCH
    write_atomically(file, lambda stream: torch.save(state, stream))
    ids = getattr(batch, "image_ids", ())
    pictures = f"pictures {', '.join(str(picture) for picture in ids)}" if len(ids) else "the batch"
    return DivergedError(
        f"training diverged at step {step}: {SKIPS_IN_ROW} steps in a row without finite losses and gradients; "
        f"first bad tensor: {bad}, on {pictures} (saved in {file}). "
        "Lower training.optimizer.lr_per_16, or look at these pictures and their labels."
    )


def step_is_finite(norm: Tensor, losses: list[LossOutput]) -> Tensor:
    """Scalar bool tensor: all losses of the step and the norm of its gradients are finite."""
    scalars = [norm, *(value for output in losses for value in output.losses.values())]
    flat = torch.stack([value.detach().float().reshape(()).to(norm.device) for value in scalars])
    return flat.isfinite().all()
