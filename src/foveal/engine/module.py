"""The LightningModule: batch -> losses -> optimiser step. It does not know what a box is."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from foveal.config.schema import Training
from foveal.engine.ema import WeightAverage
from foveal.engine.guard import (
    SKIPS_IN_ROW,
    StatisticsKeeper,
    Verdict,
    batch_to_blame,
    detached,
    first_bad_tensor,
    from_worst,
    gradients_are_finite,
    may_run_ahead,
    stop_diverged,
)
from foveal.engine.meter import EpochTotals, Meter
from foveal.engine.optim import RunLength, build_optimizer, gradient_norm, schedule_factor, set_rate
from foveal.engine.processes import several
from foveal.engine.progress import Progress
from foveal.engine.validation import Postprocess, Validation, total_of
from foveal.types import Batch, Criterion, Evaluator, LossOutput

INSPECT_EVERY = 10
"""Steps between two looks at what costs something to know; every row of metrics.csv has one in it."""


class TrainingModule(pl.LightningModule):
    """One optimiser step per group of ``accumulate`` micro-batches, by hand, so that every step is counted,
    guarded and resumable at its end. Means of losses and stats are in ``meter``; ``metrics`` has the last
    validation's.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        postprocess: Postprocess,
        evaluator: Evaluator | None,
        settings: Training,
        length: RunLength,
        progress: Progress,
        run_folder: Path,
        picture_name: Callable[[int], str] = str,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.criterion = criterion
        self.settings = settings
        self.length = length
        self.run_progress = progress
        self.run_folder = run_folder
        self.picture_name = picture_name
        """Of a picture's id, for people."""
        self._average: WeightAverage | None = None
        self.meter = Meter()
        self.metrics: dict[str, float | None] = {}
        self.resumed: Mapping[str, Any] = {}
        """State to take up where its owner comes to life; empty in a fresh run."""
        self.loss_names: tuple[str, ...] = ()
        self._validation = Validation(postprocess, evaluator)
        self._pending: list[tuple[Batch, LossOutput]] = []
        self._parameters_to_clip = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._verdict: Verdict | None = None
        """Of the last step, until ``settle`` has dealt with it."""
        self.bad_pictures: tuple[int, ...] = ()
        """Ids of the pictures of the last step that was left out."""
        self.totals = EpochTotals()

    # ------------------------------------------------------------ start

    def configure_optimizers(self) -> Optimizer:
        """Built when the model is on its device."""
        optimizer = build_optimizer(self.model, self.settings, self.trainer.world_size)
        if "optimizer" in self.resumed:
            # The state brings the settings it was made with; where those of now differ, they count.
            chosen = [dict(group) for group in optimizer.param_groups]
            optimizer.load_state_dict(self.resumed["optimizer"])
            for group, settings in zip(optimizer.param_groups, chosen, strict=True):
                group.update(
                    {name: value for name, value in settings.items() if name not in ("params", "lr")}
                )
        return optimizer

    def prepare(self) -> None:
        """The weight average, once the model is on its device; again is nothing."""
        if self.settings.ema is not None and self._average is None:
            self._average = WeightAverage(self.model, self.settings.ema)
            if "average" in self.resumed:
                self._average.load_state_dict(self.resumed["average"])

    @property
    def average(self) -> WeightAverage | None:
        """The weight average after the last step, None where it is off."""
        self.settle()
        return self._average

    def on_train_start(self) -> None:
        self.prepare()
        self._statistics = StatisticsKeeper(self.model)
        if several():
            self.trainer.strategy.model(torch.zeros(())).backward()  # type: ignore[misc]
            self.zero_grad(set_to_none=True)
        if "scaler" in self.resumed:
            self.trainer.precision_plugin.load_state_dict(self.resumed["scaler"])
        self.resumed = {}

    def forward(self, more: Tensor) -> Tensor:
        """Sum of the trained weights, and ``more``; several processes take it back once before their first step.

        DDP lays out the gradients it sums by the first backward pass that it sees, and a layout is an order of
        summation: it must be the same where a run begins and where it goes on.
        more: a scalar, 0; DDP on CUDA cannot be called with nothing.
        """
        return torch.stack([weights.sum() for weights in self._parameters_to_clip]).sum() + more

    # ------------------------------------------------------------ training

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Forward and backward of one micro-batch; the last of its group also steps."""
        at = self.run_progress.batch
        ends_step = self.length.ends_step(at)
        inspects = self.run_progress.step % INSPECT_EVERY == 0
        with self._gradients_shared(ends_step):
            losses = self._losses(self.model(batch.images), batch, inspects)
            total = total_of(losses)
            self.manual_backward(total / self.length.group_size(at))
        self.meter.add({"loss": total, **losses.losses, **losses.stats})
        self.loss_names = tuple(losses.losses)
        self.totals.add(losses.totals, begins=at == 0)
        self._pending.append((batch, detached(losses)))
        if ends_step:
            self._step()
        self.run_progress.advance(self.length)

    def _losses(self, outputs: Any, batch: Batch, inspects: bool = False) -> LossOutput:
        """Losses outside of autocast: they are computed in the precision the criterion chooses.

        What ``inspect`` holds is let go here: the outputs must not outlive the criterion.
        """
        with torch.autocast(self.device.type, enabled=False):
            losses = self.criterion(outputs, batch.targets)
            more = losses.inspect() if inspects and losses.inspect is not None else {}
        return losses._replace(stats={**losses.stats, **more}, inspect=None)

    def _gradients_shared(self, now: bool) -> AbstractContextManager[Any]:
        """Processes average their gradients only where a step follows."""
        block = getattr(self.trainer.strategy, "block_backward_sync", None)
        return contextlib.nullcontext() if now or block is None else block()

    def _step(self) -> None:
        """One optimiser step, left out where a loss or a gradient is not finite."""
        self.settle()
        progress = self.run_progress
        factor = schedule_factor(progress.step, self.length.steps, self.settings.schedule)
        set_rate(self._optimizer(), factor)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step()
        optimizer.zero_grad()
        if not self._runs_ahead(optimizer.optimizer):
            self.settle()
        self._pending.clear()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip and guard: the gradients are whole and, in mixed precision, unscaled here.

        Weights may not move before it is known that they may. On CUDA the optimiser itself goes by the verdict,
        and the host learns of it a step later; otherwise, and after a bad step, the host waits for it here.
        """
        norm = gradient_norm(self._parameters_to_clip)
        pictures = tuple(i for batch, _ in self._pending for i in getattr(batch, "image_ids", ()))
        self._verdict = Verdict(norm, [losses for _, losses in self._pending], pictures)
        finite = self._verdict.finite
        self.meter.add({"gradient_norm": norm})
        if self.settings.clip_grad_norm is not None:
            self.meter.add({"clipped_steps": norm > self.settings.clip_grad_norm})
        self._statistics.settle(finite)
        ahead = self._runs_ahead(optimizer)
        optimizer.found_inf = (~finite).float() if ahead else None  # type: ignore[attr-defined]
        if not ahead and not self._verdict.known():
            self._skip(optimizer)
        elif self.settings.clip_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters_to_clip, self.settings.clip_grad_norm, norm)

    def _runs_ahead(self, optimizer: Optimizer) -> bool:
        """Not on a run's first step, which makes the optimiser's state, and not where the last one was bad."""
        progress = self.run_progress
        return progress.step > 0 and not progress.skipped_in_row and may_run_ahead(optimizer)

    def _skip(self, optimizer: Optimizer) -> None:
        """Take a bad step's gradients away, so that the optimiser has nothing to do; after ten, stop."""
        if self.run_progress.skipped_in_row + 1 >= SKIPS_IN_ROW:
            # Copied, as looking for the batch to blame takes it through the network.
            weights = copy.deepcopy({"model": self.model.state_dict(), **self._criterion_state()})
            batch, losses, worst = batch_to_blame(self._pending, self._gradients_are_finite)
            told = from_worst(worst, batch, losses, first_bad_tensor(losses, self.model))
            raise stop_diverged(self.run_folder, self.run_progress.step, *told, weights, self.picture_name)
        optimizer.zero_grad(set_to_none=True)

    def _gradients_are_finite(self, batch: Batch) -> bool:
        """Whether one micro-batch by itself gives finite gradients; the gradients there are stay as they are."""
        with torch.enable_grad():
            total = total_of(self._losses(self.model(batch.images), batch))
        return gradients_are_finite(total, self._parameters_to_clip)

    def settle(self) -> None:
        """Count the last step, and take its weights into the average, unless it was left out."""
        if self._verdict is None:
            return
        progress, verdict, self._verdict = self.run_progress, self._verdict, None
        if not verdict.known():
            progress.skipped += 1
            progress.skipped_in_row += 1
            self.bad_pictures = verdict.pictures_to_blame()
            return
        progress.skipped_in_row = 0
        if self._average is not None:
            self._average.update()

    def on_train_end(self) -> None:
        self.settle()

    # ------------------------------------------------------------ validation

    def on_validation_epoch_start(self) -> None:
        self._validation.begin()

    def validation_step(self, batch: Batch | None, batch_idx: int) -> None:
        """Losses and detections of one validation batch; None where only other processes have one left."""
        if batch is None:
            return
        outputs = self.model(batch.images)
        self._validation.add(outputs, self._losses(outputs, batch), batch)

    def on_validation_epoch_end(self) -> None:
        self.metrics = self._validation.result()

    # ------------------------------------------------------------ state

    def rate(self) -> float:
        """Learning rate of the last step: the largest group's."""
        return max(float(group["lr"]) for group in self._optimizer().param_groups)

    def epochs_done(self) -> float:
        """Passes over the data so far: whole, or with two decimals inside an epoch."""
        part = self.run_progress.batch / self.length.batches_per_epoch
        return round(self.run_progress.epoch + part, 2) if part else self.run_progress.epoch

    def _optimizer(self) -> Optimizer:
        """The one optimiser, without the trainer's wrapper."""
        wrapped = self.optimizers()
        assert isinstance(wrapped, LightningOptimizer)
        return wrapped.optimizer

    def weights_to_keep(self) -> dict[str, Tensor]:
        """State dict of the model that is validated: with averaged weights, where on."""
        if self.average is not None:
            return self.average.weights()
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    def resume_state(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs from the module (between two steps)."""
        if self.resumed:  # a validation made good before training goes on: nothing has moved yet
            kept = {name: self.resumed[name] for name in ("optimizer", "scaler") if name in self.resumed}
        else:
            scaler = self.trainer.precision_plugin.state_dict()
            kept = {"optimizer": self._optimizer().state_dict(), **({"scaler": scaler} if scaler else {})}
        average = {"average": self.average.state_dict()} if self.average is not None else {}
        return {"model": self.model.state_dict(), **kept, **average, **self._criterion_state()}

    def _criterion_state(self) -> dict[str, Any]:
        """Its buffers, where it has any to keep."""
        return {"criterion": self.criterion.state_dict()} if isinstance(self.criterion, nn.Module) else {}


def training_module(module: pl.LightningModule) -> TrainingModule:
    """The module that callbacks are handed, by its own type."""
    assert isinstance(module, TrainingModule)
    return module
