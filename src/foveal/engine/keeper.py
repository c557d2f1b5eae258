"""What is kept of a run: weights, the best so far, the resume state; and when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from foveal.engine.module import TrainingModule, training_module
from foveal.engine.processes import is_first, largest, to_first
from foveal.engine.progress import SCORE, Progress
from foveal.engine.random_state import RandomState, random_state, restore_random_state
from foveal.engine.recorder import Recorder
from foveal.engine.saving import BEST_WEIGHTS, LAST_WEIGHTS, save_resume_state
from foveal.engine.signals import StopSignals
from foveal.engine.stream import TrainingStream
from foveal.errors import Interrupted

SaveWeights = Callable[[Path, Mapping[str, Tensor], dict[str, Any]], None]
"""(file, state dict to keep, facts such as epoch, step and metrics)."""

SAVE_EVERY_SECONDS = 600.0
"""A long epoch is saved inside, so that a kill costs ten minutes at most."""


class Keeper(pl.Callback):
    """Weights and resume state: after every validation, at the end, and when a signal asks to stop."""

    def __init__(
        self,
        run_folder: Path,
        save_weights: SaveWeights,
        stream: TrainingStream,
        signals: StopSignals,
        recorder: Recorder,
        validates: bool,
        say: Callable[[str], None],
    ) -> None:
        self._run_folder = run_folder
        self._save_weights = save_weights
        self._stream = stream
        self._signals = signals
        self._recorder = recorder
        self._validates = validates
        self._say = say
        self._random_before_validation: RandomState | None = None
        self._saved_at = time.monotonic()
        self._began = time.monotonic()
        self._random_to_restore: RandomState | None = None
        self._skips_told = 0

    def restore_random_at_start(self, state: RandomState) -> None:
        """Put the generators to this state when the first batch has been fetched, before it is trained on."""
        self._random_to_restore = state

    # ------------------------------------------------------------ training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._signals.install()
        if self._random_to_restore is not None:
            restore_random_state(self._random_to_restore)
            self._random_to_restore = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = training_module(pl_module)
        progress = module.run_progress
        if progress.batch % module.length.accumulate and progress.batch:
            return  # between two micro-batches of one step: nothing that could be resumed from
        if progress.skipped_in_row > self._skips_told:
            self._recorder.skipped(module)
        self._skips_told = progress.skipped_in_row
        if self._stream.ended():
            return  # what follows saves, and stops if asked to
        received, save_due = self._asked()
        if received:
            self._stop(module, received)
        if save_due:
            self.save_resume(module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = training_module(pl_module)
        if not self._validates:
            self._keep(module, best=False)
            module.run_progress.stopped = "length" if self._run_is_over(module) else ""
            self.save_resume(module)
            received, _ = self._asked()
            if received and not self._run_is_over(module):
                self._stop(module, received)
        if self._run_is_over(module):
            trainer.should_stop = True

    # ------------------------------------------------------------ validation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = training_module(pl_module)
        self._signals.install()
        self._random_before_validation = random_state()
        module.prepare()
        if module.average is not None:
            module.average.swap()
        module.run_progress.validation_due = True

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        received, _ = self._asked()
        if received:
            module = training_module(pl_module)
            self._end_validation(module)
            self._stop(module, received)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = training_module(pl_module)
        self._end_validation(module)
        self._random_before_validation = None
        progress = module.run_progress
        progress.validation_due = False
        best = self._judge(module)
        self._keep(module, best)
        self._recorder.validated(module, best)
        patience = module.settings.early_stopping
        if self._run_is_over(module):
            progress.stopped = "length"
        elif patience is not None and progress.validations_without_gain >= patience:
            progress.stopped = "early_stopping"
            self._say(f"stopped early: {patience} validations without a better {SCORE}")
        self.save_resume(module)
        trainer.should_stop = trainer.should_stop or bool(progress.stopped)

    def _end_validation(self, module: TrainingModule) -> None:
        """Give the model its own weights back."""
        if module.average is not None:
            module.average.swap()

    def _judge(self, module: TrainingModule) -> bool:
        """Compare with the best validation so far; whether this one is better."""
        progress = module.run_progress
        score = score_of(module.metrics)
        if score is not None and (progress.best_score is None or score > progress.best_score):
            progress.best_score = score
            progress.best = {**module.metrics, "step": progress.step, "epoch": module.epochs_done()}
            progress.validations_without_gain = 0
            return True
        progress.validations_without_gain += 1
        return False

    # ------------------------------------------------------------ files

    def _keep(self, module: TrainingModule, best: bool) -> None:
        """Write last.safetensors, and best.safetensors where this is the best."""
        module.settle()  # which the processes do together
        if not is_first():
            return
        progress = module.run_progress
        facts = {"epoch": module.epochs_done(), "step": progress.step, "metrics": dict(module.metrics)}
        weights = module.weights_to_keep()
        self._save_weights(self._run_folder / LAST_WEIGHTS, weights, facts)
        # Without validation, or before it gives a score, the last weights are the best known.
        if best or not self._validates or progress.best_score is None:
            self._save_weights(self._run_folder / BEST_WEIGHTS, weights, facts)

    def save_resume(self, module: TrainingModule) -> None:
        """Write the resume state (between two optimiser steps), with the random state of every process."""
        self._saved_at = time.monotonic()
        module.settle()
        progress = module.run_progress
        processes = to_first(self._random(progress))
        if not is_first():
            return
        now = time.monotonic()
        progress.seconds, self._began = progress.seconds + now - self._began, now
        state = {
            **module.resume_state(),
            "progress": progress.state_dict(),
            **processes[0],
            **({"processes": processes} if len(processes) > 1 else {}),
            "length": list(module.length),
            "sampler": self._stream.sampler_state(),
        }
        save_resume_state(self._run_folder, state)

    def _random(self, progress: Progress) -> dict[str, Any]:
        """Random state of this process, now and where the epoch's order was drawn."""
        due = progress.validation_due
        return {
            "random": self._random_before_validation or random_state(),
            "random_at_epoch_start": None if due else self._stream.random_at_start(progress.epoch),
        }

    # ------------------------------------------------------------ stopping

    def _run_is_over(self, module: TrainingModule) -> bool:
        return module.run_progress.step >= module.length.steps

    def _asked(self) -> tuple[int, bool]:
        """The signal that some process has received, 0 for none, and whether it is time to save."""
        due = is_first() and time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS
        received, save = largest([self._signals.received or 0, int(due)])
        return received, bool(save)

    def _stop(self, module: TrainingModule, received: int) -> None:
        self.save_resume(module)
        raise Interrupted(
            f"stopped at step {module.run_progress.step} of {module.length.steps}, nothing lost; "
            f"go on with: foveal train --resume {self._run_folder}",
            received,
        )


def score_of(metrics: Mapping[str, float | None]) -> float | None:
    """The number to maximise: AP where the evaluator gives one, else the validation loss, negated."""
    if SCORE in metrics:
        return metrics[SCORE]
    loss = metrics.get("val_loss")
    return -loss if loss is not None and loss == loss else None
