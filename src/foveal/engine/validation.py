"""One validation: losses and detections of its batches, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from foveal.engine.meter import Meter
from foveal.types import Batch, BatchDetections, Evaluator, LossOutput

Postprocess = Callable[[Any, tuple[int, int]], BatchDetections]
"""(outputs, (height, width) of the canvas) -> detections."""


class Validation:
    """evaluator: None for losses alone."""

    def __init__(self, postprocess: Postprocess, evaluator: Evaluator | None) -> None:
        self._postprocess = postprocess
        self._evaluator = evaluator
        self._losses = Meter()

    def begin(self) -> None:
        """Forget the validation before."""
        self._losses.reset()
        if self._evaluator is not None:
            self._evaluator.reset()

    def add(self, outputs: Any, losses: LossOutput, batch: Batch) -> None:
        """Take in a batch; the last one may be smaller, and counts for as much less."""
        values = {"loss": total_of(losses), **losses.losses}
        self._losses.add(values, weight=len(batch.images))
        if self._evaluator is None:
            return
        height, width = batch.images.shape[-2:]
        with torch.autocast(batch.images.device.type, enabled=False):
            detections = self._postprocess(outputs, (height, width))
        self._evaluator.update(BatchDetections(*(part.cpu() for part in detections)), batch)

    def result(self) -> dict[str, float | None]:
        """Metrics of the evaluator as they come, then the mean losses as ``val_<name>``."""
        computed = dict(self._evaluator.compute()) if self._evaluator is not None else {}
        return {**computed, **{f"val_{name}": value for name, value in self._losses.means().items()}}


def total_of(losses: LossOutput) -> Tensor:
    """Sum of the losses, in float32."""
    return torch.stack([value.float() for value in losses.losses.values()]).sum()
