"""Average precision of the exported file beside torch's, on the same labelled pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from foveal.config.schema import PostprocessorParams
from foveal.data.loader import make_loader
from foveal.data.records import Records
from foveal.data.tiled import numbered_tiles
from foveal.metrics.intervals import SAMPLES, Interval, paired_difference
from foveal.ops.tiles import Tiling
from foveal.runtime.exported import Detect
from foveal.runtime.tiled_evaluation import coco_evaluator

BATCH = 4
MOST_DROP = 0.005
"""Loss of AP (half a point of 100) at which an export fails."""


class Accuracy(NamedTuple):
    """AP before and after."""

    before: float
    after: float
    change: Interval
    """after - before, and its 95 % interval over the pictures, the same draws for both."""
    pictures: int

    @property
    def passes(self) -> bool:
        """Whether the export lost no more than half a point."""
        return self.change.value >= -MOST_DROP


@torch.inference_mode()
def compare_accuracy(
    reference: Detect,
    exported: Detect,
    records: Records,
    canvas: tuple[int, int],
    params: PostprocessorParams,
    tiling: Tiling | None = None,
    step: Callable[[int], None] = lambda count: None,
    samples: int = SAMPLES,
) -> Accuracy:
    """Both on every picture, as ``foveal evaluate`` does it. records: with a box to find.

    step: told how many of the pictures were seen.
    """
    seen = records if tiling is None else numbered_tiles(records, tiling)
    done = 0
    sides = [(model, coco_evaluator(seen, params)) for model in (reference, exported)]
    for batch in make_loader(seen, canvas, BATCH, train=False, workers=1):
        for model, evaluator in sides:
            evaluator.update(model(batch.images), batch)
        done += len(batch.image_ids)
        step(done * len(records) // len(seen) - (done - len(batch.image_ids)) * len(records) // len(seen))
    before, after = (evaluator.compute()["AP"] for _, evaluator in sides)
    columns = [evaluator.columns() for _, evaluator in sides]
    change = paired_difference(records.ground_truth(), columns[0], columns[1], samples=samples)
    assert before is not None
    assert after is not None
    return Accuracy(before, after, change, len(records))
