"""What is known of a run while it goes: facts that stand from its beginning, and the rows so far."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

import numpy as np

from foveal.config.load import data_of
from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.diagnosis.canvas_boxes import boxes_on_canvas
from foveal.engine.optim import peak_rate, run_length, warmup_steps
from foveal.ops.letterbox import canvas_size


class RunFacts(NamedTuple):
    """What does not change in a run."""

    class_names: tuple[str, ...]
    boxes_per_class: tuple[int, ...]
    """In the training set, crowds not counted."""
    median_side: float
    """Of the training boxes on the canvas, in pixels: square root of the area."""
    smallest_anchor: float
    picture_side: float
    """Median of the longer sides of the pictures as they are stored, in pixels."""
    canvas_side: int
    steps: int
    warmup: int
    rate: float
    """Largest learning rate of the schedule."""
    clip: float | None
    class_loss: str
    gamma: float
    """Focusing exponent of the class loss, 0 where it has none."""
    workers: int
    cores: int
    mixed: bool
    """Precision with a gradient scaler, which skips steps in the ordinary course."""
    fine_tuned: bool
    """Started from a trained detector: its loss begins where another one's ends."""


def facts_of(config: Config, train: Records, fine_tuned: bool = False) -> RunFacts:
    """Facts of a run that is about to begin; train: with at least one box that is no crowd."""
    data, training, losses = data_of(config), config.training, config.model.losses
    canvas = canvas_size(*data.image_size)
    sides = boxes_on_canvas(train, canvas).sides
    batches = max(1, len(train) // training.batch_size)
    length = run_length(training, batches)
    affinity = getattr(os, "sched_getaffinity", None)
    return RunFacts(
        train.classes.names,
        tuple(train.boxes_per_class()),
        float(np.median(sides)) if len(sides) else 0.0,
        min(side for level in config.model.architecture.head.params.scaled_sizes() for side in level),
        float(np.median(np.maximum(train.heights, train.widths))),
        max(canvas),
        length.steps,
        warmup_steps(training.schedule, length.steps),
        peak_rate(training),
        training.clip_grad_norm,
        losses.classification.name,
        float(getattr(losses.classification, "focal_gamma", 0.0)),
        data.workers,
        len(affinity(0)) if affinity else os.cpu_count() or 1,
        training.precision == "16-mixed",
        fine_tuned,
    )


class Row(NamedTuple):
    """Numbers of a row of metrics.csv."""

    step: int
    epoch: int
    values: Mapping[str, float]


@dataclass
class History:
    """Rows so far, by kind; the last of a kind is the newest."""

    train: list[Row] = field(default_factory=list)
    validations: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    """Totals of whole epochs."""

    def add(self, row: Row) -> list[Row]:
        """File a row; the list that it went into."""
        kinds = {"rate": self.train, "val_loss": self.validations}
        kept = next((rows for name, rows in kinds.items() if name in row.values), self.epochs)
        kept.append(row)
        return kept

    def recent(self, name: str, count: int) -> list[float]:
        """A column's values in the last ``count`` training rows; fewer where it has gaps."""
        return [row.values[name] for row in self.train[-count:] if name in row.values]

    def mean(self, name: str, count: int) -> float | None:
        """Mean of the last ``count`` training rows; None before there are so many."""
        values = self.recent(name, count)
        return fmean(values) if len(values) == count else None

    def column(self, name: str) -> Iterator[tuple[int, float]]:
        """(step, value) of every training row that has it."""
        return ((row.step, row.values[name]) for row in self.train if name in row.values)
