"""Where a run stands: the numbers that make it resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from foveal.engine.optim import RunLength

SCORE = "AP"
"""The evaluator's number that best and early stopping go by; without it, the validation loss."""


@dataclass
class Progress:
    """Position and record of a run. ``epoch`` and ``batch`` name the next micro-batch to be trained on."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    """Optimiser steps done, the skipped ones among them."""
    skipped: int = 0
    """Steps left out because of a non-finite loss or gradient."""
    skipped_in_row: int = 0
    seconds: float = 0.0
    """Wall time of the run before this process took it up."""
    best_score: float | None = None
    best: dict[str, float | None] = field(default_factory=dict)
    """Metrics of the best validation, with its ``step`` and ``epoch``."""
    validations_without_gain: int = 0
    validation_due: bool = False
    """Stopped inside a validation, which has to be done again before training goes on."""
    stopped: str = ""
    """Why the run is over, "" while it is not."""

    def advance(self, length: RunLength) -> bool:
        """Count one micro-batch as done; whether it ended an optimiser step."""
        ends_step = length.ends_step(self.batch)
        self.batch += 1
        if self.batch == length.batches_per_epoch:
            self.epoch, self.batch = self.epoch + 1, 0
        if ends_step:
            self.step += 1
        return ends_step

    def state_dict(self) -> dict[str, Any]:
        """State to resume from: plain Python values."""
        return asdict(self)
