"""What is written down of a run and shown of it: rows, curves, bar and lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from foveal.engine.console import RunConsole, duration
from foveal.engine.guard import name_pictures
from foveal.engine.health import HealthLog, Watcher
from foveal.engine.logs import MetricsCsv, TensorBoard
from foveal.engine.module import TrainingModule, training_module
from foveal.engine.progress import SCORE
from foveal.engine.saving import BEST_WEIGHTS
from foveal.engine.stream import TrainingStream

ROWS_PER_RUN = 400
"""About so many rows of metrics.csv, none closer than MIN_ROW_STEPS."""
MIN_ROW_STEPS = 10
POSITIVES = "positives"
"""The one stat that is shown beside the losses; all of them are in metrics.csv and TensorBoard."""


class Recorder(pl.Callback):
    """Rows, curves and the console."""

    def __init__(
        self,
        console: RunConsole,
        run_folder: Path,
        total_steps: int,
        resume_step: int,
        writes: bool,
        stream: TrainingStream,
        watcher: Watcher | None = None,
    ) -> None:
        self._console = console
        # One process of a run writes its files.
        self._csv = MetricsCsv(run_folder, resume_step) if writes else None
        self._board = TensorBoard(run_folder, resume_step) if writes else None
        seen = self._csv.kept if self._csv is not None else ()
        self._health = HealthLog(run_folder, watcher, console.line, writes, resume_step, seen)
        self._stream = stream
        self._clock = (0.0, 0.0)
        """When the row that is being filled began, and what had been waited for data until then."""
        self._row_every = max(MIN_ROW_STEPS, total_steps // ROWS_PER_RUN)
        self._total = total_steps
        self._first = resume_step
        self._validation_seconds = 0.0
        self._spent_validating = 0.0
        self._validation_began = 0.0
        self._shown: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()
        self._spent_validating = 0.0
        self._clock = (time.monotonic(), self._stream.waited)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = training_module(pl_module)
        progress = module.run_progress
        if progress.batch % module.length.accumulate and progress.batch:
            return
        if progress.step % self._row_every == 0:
            self._row(module)
        if progress.batch == 0 and (totals := module.totals.values()):
            self._log("epoch", module, totals)
        if self._console.wants_numbers():
            self._show(module, module.meter.means() or self._shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._row(training_module(pl_module))

    def _row(self, module: TrainingModule, everywhere: bool = True) -> None:
        """Write the means since the last row, over all processes or of this one, and begin anew."""
        means = module.meter.means(everywhere)
        if not means:
            return
        module.meter.reset()
        self._shown = means
        progress = module.run_progress
        row = {
            **means,
            **self._waited(),
            "rate": module.rate(),
            "skipped_steps": progress.skipped,
        }
        self._log("train", module, row)

    def _waited(self) -> dict[str, float]:
        """Share of the row's time that went into waiting for data."""
        (began, before), self._clock = self._clock, (time.monotonic(), self._stream.waited)
        seconds = self._clock[0] - began
        # A row may be written after a validation has been: then there is no time that it could be a share of.
        return {"data_wait": min(1.0, (self._stream.waited - before) / seconds)} if seconds > 0 else {}

    def skipped(self, module: TrainingModule) -> None:
        """Say that a step was left out, and on which pictures."""
        progress = module.run_progress
        pictures = name_pictures(module.bad_pictures, module.picture_name)
        message = (
            f"step {progress.step}: non-finite loss or gradient on {pictures}, step "
            f"skipped ({progress.skipped_in_row} in a row, {progress.skipped} in all)"
        )
        self._health.note(progress.step, progress.epoch, "skipped_step", "warning", message)

    def _log(self, group: str, module: TrainingModule, values: Mapping[str, float | None]) -> None:
        """One row of the table, and one point of each curve."""
        progress = module.run_progress
        if self._csv is not None and self._board is not None:
            self._csv.write(progress.step, progress.epoch, values)
            self._board.write(group, progress.step, values)
            self._health.row(progress.step, progress.epoch, values)

    def _show(self, module: TrainingModule, means: Mapping[str, float]) -> None:
        progress = module.run_progress
        done = progress.step - self._first
        per_step = (time.monotonic() - self._began - self._spent_validating) / max(1, done)
        steps_left = self._total - progress.step
        every = module.settings.validate_every * module.length.steps_per_epoch
        validations_left = -(-steps_left // every)
        left = steps_left * per_step + validations_left * self._validation_seconds
        names = ("loss", *module.loss_names, POSITIVES)
        shown = {name: value for name, value in means.items() if name in names}
        self._console.show(progress.epoch, progress.step, shown, module.rate(), left)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._row(training_module(pl_module))
        self._validation_began = time.monotonic()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        progress = training_module(pl_module).run_progress
        total = trainer.num_val_batches[0] if isinstance(trainer.num_val_batches, list) else None
        if self._console.wants_numbers():
            whole = int(total) if total is not None and total != float("inf") else None
            self._console.validating(max(0, progress.epoch - 1), progress.step, batch_idx + 1, whole)

    def validated(self, module: TrainingModule, best: bool) -> None:
        """Log a validation and say how it went."""
        self._validation_seconds = time.monotonic() - self._validation_began
        self._spent_validating += self._validation_seconds
        self._clock = (time.monotonic(), self._stream.waited)
        progress = module.run_progress
        self._log("validation", module, module.metrics)
        named = {SCORE: SCORE, "AP50": "AP50", "val_loss": "val loss"}
        numbers = "  ".join(
            f"{label} {module.metrics[name]:.4f}"
            for name, label in named.items()
            if module.metrics.get(name) is not None
        )
        if best:
            verdict = f"best so far, saved as {BEST_WEIGHTS}"
        else:
            score = progress.best_score
            verdict = (
                f"best so far: {abs(score):.4f} at step {progress.best.get('step')}"
                if score is not None
                else ""
            )
        self._console.line(
            f"epoch {module.epochs_done()}  step {progress.step}  {numbers}  "
            f"({duration(self._validation_seconds)})  {verdict}".rstrip()
        )

    def close(self, module: TrainingModule) -> None:
        """Write what is left. Whoever stops early cannot ask the other processes."""
        self._row(module, everywhere=False)
