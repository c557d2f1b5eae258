"""What is known of a run while it goes: facts that stand from its beginning, and the rows so far."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np

from foveal.config.load import data_of
from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.anchors.canvas_boxes import boxes_on_canvas
from foveal.engine.optim import pictures_per_step, run_length, warmup_steps
from foveal.ops.letterbox import canvas_size

ROW_STEPS, ROW_PICTURES = 10, 40
"""What a row holds at least before a rule looks at it: a batch of one picture, or the row that a validation cuts
short, says nothing by itself."""
NORMALIZER_STEPS = 50
"""``ema_positives`` starts at 100 objects a batch, whatever the data has; of that 0.5 % are then left."""
COUNTERS = frozenset({"rate", "skipped_steps"})
"""Columns that tell the state at a row's end; the others are means over its steps."""
Kind = Literal["train", "validation", "epoch", "unfinished"]


class RunFacts(NamedTuple):
    """What does not change in a run."""

    class_names: tuple[str, ...]
    boxes_per_class: tuple[int, ...]
    """In the training set, crowds not counted."""
    pictures_per_class: tuple[int, ...]
    """Of the training set, that show such a box."""
    median_side: float
    """Of the training boxes on the canvas, in pixels: square root of the area."""
    anchor_sides: tuple[float, float]
    """The smallest and the largest, in pixels of the canvas."""
    picture_side: float
    """Median of the longer sides of the pictures as they are stored, in pixels."""
    canvas_side: int
    tiled: bool
    pictures_per_step: int
    steps: int
    warmup: int
    unsettled: int
    """Steps at the beginning in which the loss is divided by something else than later."""
    lr_per_16: float
    clip: float | None
    class_loss: str
    gamma: float
    """Focusing exponent of the class loss, 0 where it has none."""
    score_thresh: float
    mosaic: float
    workers: int
    cores: int
    precision: str
    fine_tuned: bool
    """Started from a trained detector: its loss begins where another one's ends."""


def facts_of(config: Config, train: Records, fine_tuned: bool = False) -> RunFacts:
    """Facts of a run that is about to begin; train: as it is seen, with at least one box that is no crowd."""
    data, training, losses = data_of(config), config.training, config.model.losses
    canvas = canvas_size(*data.image_size)
    sides = [side for level in config.model.architecture.head.params.scaled_sizes() for side in level]
    length = run_length(training, max(1, len(train) // training.batch_size))
    affinity = getattr(os, "sched_getaffinity", None)
    return RunFacts(
        class_names=train.classes.names,
        boxes_per_class=tuple(train.boxes_per_class()),
        pictures_per_class=_pictures_per_class(train),
        median_side=float(np.median(boxes_on_canvas(train, canvas).sides)),
        anchor_sides=(min(sides), max(sides)),
        picture_side=float(np.median(np.maximum(train.heights, train.widths))),
        canvas_side=max(canvas),
        tiled=isinstance(train, TiledRecords),
        pictures_per_step=pictures_per_step(training),
        steps=length.steps,
        warmup=warmup_steps(training.schedule, length.steps),
        unsettled=NORMALIZER_STEPS if losses.normalizer == "ema_positives" else 0,
        lr_per_16=training.optimizer.lr_per_16,
        clip=training.clip_grad_norm,
        class_loss=losses.classification.name,
        gamma=float(getattr(losses.classification, "focal_gamma", 0.0)),
        score_thresh=config.model.postprocessor.params.score_thresh,
        mosaic=data.augment.mosaic,
        workers=data.workers,
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        precision=training.precision,
        fine_tuned=fine_tuned,
    )


def _pictures_per_class(records: Records) -> tuple[int, ...]:
    picture = np.repeat(np.arange(len(records)), np.diff(records.offsets))[~records.crowd]
    pairs = np.unique(np.stack([records.labels[~records.crowd], picture]), axis=1)
    return tuple(np.bincount(pairs[0], minlength=len(records.classes.names)).tolist())


class Row(NamedTuple):
    """Numbers of a row of metrics.csv, or of several training rows together."""

    step: int
    epoch: int
    values: Mapping[str, float]
    first_step: int = 0
    """Of those that a training row is a mean over; ``step`` is the last."""


@dataclass
class History:
    """Rows so far, by kind; the last of a kind is the newest. row_steps: that a training row holds at least."""

    row_steps: int = ROW_STEPS
    train: list[Row] = field(default_factory=list)
    validations: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    """Totals of whole epochs."""
    _open: list[Row] = field(default_factory=list)
    """Training rows that do not hold enough steps yet."""

    def add(self, row: Row) -> Kind:
        """File a row; what it was, or ``unfinished`` where it waits for more steps."""
        if "rate" in row.values:
            return self._add_train(row)
        if any(name.startswith("positives_of_class.") for name in row.values):
            self.epochs.append(row)
            return "epoch"
        self.validations.append(row)
        return "validation"

    def _add_train(self, row: Row) -> Kind:
        rows = self._open or self.train
        self._open.append(row._replace(first_step=rows[-1].step + 1 if rows else 1))
        if row.step - self._open[0].first_step + 1 < self.row_steps:
            return "unfinished"
        self.train.append(_joined(self._open))
        self._open = []
        return "train"

    def recent(self, name: str, count: int) -> list[float]:
        """A column's values in the last ``count`` training rows; fewer where it has gaps."""
        return [row.values[name] for row in self.train[-count:] if name in row.values]

    def mean(self, name: str, count: int) -> float | None:
        """Mean of the last ``count`` training rows; None before there are so many."""
        values = self.recent(name, count)
        return fmean(values) if len(values) == count else None

    def column(self, name: str, after: int = 0) -> Iterator[tuple[int, float]]:
        """(step, value) of every training row that has it and begins after so many steps."""
        return (
            (row.step, row.values[name])
            for row in self.train
            if name in row.values and row.first_step > after
        )


def _joined(rows: list[Row]) -> Row:
    """One row for several: means weighted by their steps, counters as at the end."""
    sums: dict[str, float] = {}
    steps: dict[str, int] = {}
    for row in rows:
        held = max(1, row.step - row.first_step + 1)
        for name, value in row.values.items():
            sums[name] = sums.get(name, 0.0) + held * value
            steps[name] = steps.get(name, 0) + held
    values = {name: total / steps[name] for name, total in sums.items()}
    values |= {name: row.values[name] for row in rows for name in COUNTERS if name in row.values}
    return Row(rows[-1].step, rows[-1].epoch, values, rows[0].first_step)
