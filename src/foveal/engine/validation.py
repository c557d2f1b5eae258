"""One validation: losses and detections of its batches, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveal.engine.meter import Meter
from foveal.engine.processes import from_first, several, to_first
from foveal.types import Batch, BatchDetections, Evaluator, LossOutput, Target

Postprocess = Callable[[Any, tuple[int, int]], BatchDetections]
"""(outputs, (height, width) of the canvas) -> detections."""


class _Seen(NamedTuple):
    """What is kept of a batch, and what one process hands to another."""

    losses: Mapping[str, Tensor]
    detections: BatchDetections | None
    batch: Batch


class Validation:
    """evaluator: None for losses alone.

    Of several processes each looks at its share of the batches, and the first one hears of all of them, in the
    order in which it would have seen them alone: so its numbers are the same.
    """

    def __init__(self, postprocess: Postprocess, evaluator: Evaluator | None) -> None:
        self._postprocess = postprocess
        self._evaluator = evaluator
        self._losses = Meter()
        self._share: list[_Seen] = []

    def begin(self) -> None:
        """Forget the validation before."""
        self._losses.reset()
        self._share.clear()
        if self._evaluator is not None:
            self._evaluator.reset()

    def add(self, outputs: Any, losses: LossOutput, batch: Batch) -> None:
        """Take in a batch; the last one may be smaller, and counts for as much less."""
        values = {"loss": total_of(losses), **losses.losses}
        detections = None
        if self._evaluator is not None:
            height, width = batch.images.shape[-2:]
            with torch.autocast(batch.images.device.type, enabled=False):
                found = self._postprocess(outputs, (height, width))
            detections = BatchDetections(*(part.cpu() for part in found))
        seen = _Seen(values, detections, batch)
        if several():
            self._share.append(_light(seen))
        else:
            self._take(seen)

    def _take(self, seen: _Seen) -> None:
        self._losses.add(seen.losses, weight=len(seen.batch.image_ids))
        if self._evaluator is not None and seen.detections is not None:
            self._evaluator.update(seen.detections, seen.batch)

    def result(self) -> dict[str, float | None]:
        """Metrics of the evaluator as they come, then the mean losses as ``val_<name>``; the same everywhere."""
        shares = to_first(self._share)
        self._share = []
        # Batches were dealt in turn.
        for seen in chain.from_iterable(zip_longest(*shares)):
            if seen is not None:
                self._take(seen)
        return from_first(self._result)

    def _result(self) -> dict[str, float | None]:
        computed = dict(self._evaluator.compute()) if self._evaluator is not None else {}
        return {**computed, **{f"val_{name}": value for name, value in self._losses.means().items()}}


def _light(seen: _Seen) -> _Seen:
    """The same without pictures and empty places, on the host."""
    detections, batch = seen.detections, seen.batch
    if detections is not None:
        most = int(detections.count.max())
        boxes, scores, labels, count = detections
        detections = BatchDetections(
            boxes[:, :most].clone(), scores[:, :most].clone(), labels[:, :most].clone(), count
        )
    targets = tuple(Target(*(part.cpu() for part in target)) for target in batch.targets)
    # A copy of nothing: a view would bring the pictures along.
    batch = batch._replace(images=batch.images[:0].cpu().clone(), targets=targets)
    return _Seen({name: loss.cpu() for name, loss in seen.losses.items()}, detections, batch)


def total_of(losses: LossOutput) -> Tensor:
    """Sum of the losses, in float32."""
    return torch.stack([value.float() for value in losses.losses.values()]).sum()
