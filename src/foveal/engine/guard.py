"""Non-finite losses and gradients: leave the step out, and stop a run that gives nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from foveal.engine.processes import from_all, from_process, is_first, several
from foveal.engine.saving import plain, save_sealed
from foveal.errors import DivergedError
from foveal.types import LossOutput

SKIPS_IN_ROW = 10
"""So many skipped steps one after another mean that the run has diverged."""
BAD_BATCH = "bad_batch.pt"


class StatisticsKeeper:
    """Puts BatchNorm's running statistics back where a skipped step made them non-finite. Never waits."""

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
    def settle(self, finite: Tensor) -> None:
        """After a step: finite (scalar bool) makes its statistics the ones to go back to, else it goes back."""
        for live, good in zip(self._live, self._good, strict=True):
            good.copy_(torch.where(finite, live, good))
            live.copy_(good)


class Verdict:
    """Whether a step was finite, in all processes: a scalar on the device, and on its way to the host.

    ``known`` waits for the step's backward pass at most, not for what was asked of the device after it.
    """

    def __init__(self, norm: Tensor, losses: list[LossOutput], pictures: tuple[int, ...] = ()) -> None:
        """norm: of the step's gradients, a scalar; losses: of its micro-batches; pictures: theirs, by id."""
        self._pictures = pictures
        self._own_losses_finite = _losses_are_finite(losses)
        finite = norm.detach().isfinite() & self._own_losses_finite.to(norm.device)
        if several():
            everywhere = finite.int()
            dist.all_reduce(everywhere, op=dist.ReduceOp.MIN)
            finite = everywhere.bool()
        self.finite = self._host = finite
        self._arrived: torch.cuda.Event | None = None
        if finite.is_cuda:
            self._host = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._host.copy_(finite, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def known(self) -> bool:
        """The verdict itself."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return bool(self._host)

    def pictures_to_blame(self) -> tuple[int, ...]:
        """Of a bad step, ids of the pictures of the processes whose losses were not finite; of all where only a
        gradient was not. All processes must ask.
        """
        told = from_all((bool(self._own_losses_finite), self._pictures))
        to_blame = [its for finite, its in told if not finite] or [its for _, its in told]
        return tuple(picture for its in to_blame for picture in its)


def may_run_ahead(optimizer: Optimizer) -> bool:
    """Whether the host may go on before a step's verdict is known.

    A fused optimiser leaves a step out by itself where its ``found_inf`` is 1. Off CUDA nothing is won by it.
    """
    groups = optimizer.param_groups
    return all(group.get("fused") and all(p.is_cuda for p in group["params"]) for group in groups)


def first_bad_tensor(losses: LossOutput, model: nn.Module) -> str:
    """Name of the first non-finite loss, else of the first non-finite gradient (before they are cleared)."""
    for name, value in losses.losses.items():
        if not math.isfinite(float(value)):
            return f"loss {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"gradient of {name}"
    return "norm of the gradients"


def batch_to_blame(
    pending: list[tuple[Any, LossOutput]], gradients_are_finite: Callable[[Any], bool]
) -> tuple[Any, LossOutput, int]:
    """Of a bad step's micro-batches in all processes the one at fault, and the number of its process.

    That is the first whose losses are not finite; else the first whose own gradients are not, which is asked where
    there is a choice: gradients have been added up by then. Else the last of the first process.
    """
    bad = [not _finite(losses) for _, losses in pending]
    if not any(from_all(any(bad))) and (len(pending) > 1 or several()):
        # Every one of them: processes may have to do it together.
        bad = [not gradients_are_finite(batch) for batch, _ in pending]
    has_bad = from_all(any(bad))
    worst = has_bad.index(True) if any(has_bad) else 0
    batch, losses = pending[bad.index(True) if any(bad) else -1]
    return batch, losses, worst


def gradients_are_finite(total: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether those of a scalar loss are; what is in the parameters' own ``grad`` stays as it is."""
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def detached(losses: LossOutput) -> LossOutput:
    """Losses without their graph, to be looked at later."""
    return LossOutput({name: value.detach() for name, value in losses.losses.items()}, {})


def stop_diverged(
    run_folder: Path,
    step: int,
    batch: Any,
    losses: LossOutput,
    bad: str,
    weights: dict[str, Any],
    name: Callable[[int], str] = str,
) -> DivergedError:
    """Save the batch for replay and word the error to raise.

    ``bad_batch.pt``: a dict of the batch's fields, the losses by name, the step, the name of the bad tensor and
    the weights (state dicts by name); for ``load_sealed``. name: of a picture, by its id.
    """
    state = {
        "batch": plain(batch),
        "losses": plain(losses.losses),
        "step": step,
        "bad": bad,
        **plain(weights),
    }
    file = run_folder / BAD_BATCH
    if is_first():
        save_sealed(file, state)
    pictures = name_pictures(getattr(batch, "image_ids", ()), name)
    return DivergedError(
        f"training diverged at step {step}: {SKIPS_IN_ROW} steps in a row without finite losses and gradients; "
        f"first bad tensor: {bad}, on {pictures} (saved in {file}). "
        f"foveal train --replay {file} does the step again and says where it breaks; "
        "lower training.optimizer.lr_per_16, or look at these pictures and their labels."
    )


def from_worst(worst: int, batch: Any, losses: LossOutput, bad: str) -> tuple[Any, LossOutput, str]:
    """Of the process to blame, in all of them: its batch, with the losses and the name of the bad tensor."""
    if not several():
        return batch, losses, bad
    batch, values, bad = from_process(worst, lambda: _on_host((batch, losses.losses, bad)))
    return batch, LossOutput(values, {}), bad


def _finite(losses: LossOutput) -> bool:
    return all(math.isfinite(float(value)) for value in losses.losses.values())


def _on_host(value: Any) -> Any:
    """The same with all tensors in main memory; named tuples stay what they are."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, tuple):
        parts = [_on_host(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return {name: _on_host(part) for name, part in value.items()} if isinstance(value, dict) else value


def name_pictures(ids: Sequence[int], name: Callable[[int], str] = str) -> str:
    """The pictures as part of a sentence. name: of one, by its id."""
    return f"pictures {', '.join(name(picture) for picture in ids)}" if len(ids) else "the batch"


def _losses_are_finite(losses: list[LossOutput]) -> Tensor:
    """Scalar bool tensor: all losses of this process."""
    values = [value for output in losses for value in output.losses.values()]
    return torch.stack([value.detach().float().reshape(()) for value in values]).isfinite().all()
