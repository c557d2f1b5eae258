"""The gate of an export: the same detections as torch on real pictures, the same AP, and what it costs in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from foveal.bench.clock import Ratio, cpu_lap, interleave, ratio_of
from foveal.checkpoint.header import CheckpointHeader
from foveal.config.schema import PostprocessorParams
from foveal.errors import ModelFileError, is_out_of_memory
from foveal.export.accuracy import MOST_DROP, Accuracy, compare_accuracy
from foveal.export.formats import RUNS_IN, Form, run_form, run_stages
from foveal.export.parity import BATCHES, NothingFoundError, Parity, canvases, compare_runs, limits_of
from foveal.export.stages import MAPS, StageGraph, find_drift, first_drift
from foveal.export.subjects import Subjects
from foveal.grammar import many
from foveal.metrics.agreement import TRAINED
from foveal.models.inference import InferenceModel
from foveal.ops.tiles import Tiling
from foveal.runtime.backends import accelerate
from foveal.runtime.calibration import some_images
from foveal.runtime.exported import Detect
from foveal.types import BatchDetections

ALL_THE_SAME = "--no-gate writes it all the same"
ROUNDS = 5
SLOW_ROUNDS = 3
SLOW = 0.5
"""Seconds of a lap from which fewer rounds are taken."""


class Case(NamedTuple):
    """An export before its gate."""

    form: Form
    made: Path
    """Where its files are."""
    output: Path
    """Where they are to go."""
    model: InferenceModel
    header: CheckpointHeader
    """Of the export."""
    canvas: tuple[int, int]
    tiling: Tiling | None
    params: PostprocessorParams
    seen: Subjects


class Gate(NamedTuple):
    """What was compared, in the order of canvases and batches."""

    parity: list[Parity]
    speed: list[Ratio]
    """Of each: torch's computing time over the export's."""
    accuracy: Accuracy | None


@torch.inference_mode()
def pass_gate(case: Case, quiet: bool = False) -> Gate:
    """Compare an export with torch. ModelFileError, with the place where it drifts, where it is not the same."""
    reference = accelerate(case.model)
    exported = _run(case)
    rows: list[Parity] = []
    speed: list[Ratio] = []
    for canvas in canvases(case.canvas):
        images = list(some_images(case.seen.pictures, canvas, case.tiling, case.seen.most))
        with _progress("comparing", len(images) * (1 + len(BATCHES)), quiet) as step:
            try:
                limits = limits_of(case.params)
                rows += compare_runs(reference, exported, images, limits, TRAINED, step)
            except NothingFoundError as error:
                raise _empty(case) from error
        if case.form.precision == "fp32":
            _check_parity(case, rows, images)
        speed += [_speed(reference, exported, images, size) for size in BATCHES]
    accuracy = None
    if case.seen.labelled is not None:
        accuracy = _accuracy(case, reference, exported, quiet)
    return Gate(rows, speed, accuracy)


def _run(case: Case) -> Detect:
    """What gives the export's detections. ModelFileError, also later, where its program cannot run it."""
    with _running(case, ""):
        run = run_form(case.form, case.made, case.header)

    def detect(images: Tensor) -> BatchDetections:
        with _running(case, f" on {' x '.join(str(side) for side in images.shape)}"):
            return run(images)

    return detect


@contextmanager
def _running(case: Case, what: str) -> Iterator[None]:
    """The errors of the program that runs an export, which has its own, as one of ours."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        cause = error.__cause__ if isinstance(error, ModelFileError) and error.__cause__ else error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise ModelFileError(
            f"{case.output}: not written: it does not run in {RUNS_IN[case.form.format]}{what} ({reason})"
        ) from error


def _empty(case: Case) -> ModelFileError:
    return ModelFileError(
        f"{case.output}: not written: neither torch nor the export finds anything on the pictures, so nothing was "
        "compared; give pictures of its objects with --pictures FOLDER, or --no-gate"
    )


def _check_parity(case: Case, rows: Sequence[Parity], images: Sequence[Tensor]) -> None:
    bad = next((row for row in rows if row.agreement.different), None)
    if bad is None:
        return
    one = bad.agreement
    raise ModelFileError(
        f"{case.output}: not written: {one.different} of {one.pairs + one.different} detections are not torch's "
        f"(box up to {one.pixels:.1e} px off, score {one.score:.1e}; batch {bad.batch}, "
        f"{bad.canvas[0]} x {bad.canvas[1]}); {_where(case, torch.cat(list(images[bad.worst])))}; "
        f"{ALL_THE_SAME}"
    )


def _where(case: Case, images: Tensor) -> str:
    """At which stage an export leaves torch's path, in words. images: a batch on which it does."""
    graph = StageGraph(case.model)
    try:
        stages = find_drift(graph, run_stages(case.form, graph), images, limits_of(case.params))
    except Exception as error:  # of whatever program; the drift itself is worth more than its place
        if is_out_of_memory(error):
            raise
        return f"its stages do not run one by one ({type(error).__name__})"
    if case.form.raw and not any(one.drifts for one in stages if one.stage in MAPS):
        return "the graph's outputs do not drift, what the script makes of them does"
    return first_drift(stages)


def _accuracy(case: Case, reference: Detect, exported: Detect, quiet: bool) -> Accuracy:
    assert case.seen.labelled is not None
    records = case.seen.labelled
    with _progress("measuring AP", len(records), quiet) as step:
        found = compare_accuracy(reference, exported, records, case.canvas, case.params, case.tiling, step)
    if not found.passes:
        raise ModelFileError(
            f"{case.output}: not written: AP {found.before:.4f} -> {found.after:.4f} "
            f"({found.change.value:+.4f}, 95 %: {found.change.low:+.4f} to {found.change.high:+.4f}) in "
            f"{case.form.precision}, which is over {MOST_DROP:g}; {_remedy(case.form)}; {ALL_THE_SAME}"
        )
    return found


def _remedy(form: Form) -> str:
    if form.precision == "int8":
        return "calibrate on more or other pictures (--calibration), or take --fp16"
    return "leave --fp16 out" if form.precision == "fp16" else "please report it"


def _speed(reference: Detect, exported: Detect, images: Sequence[Tensor], size: int) -> Ratio:
    batch = torch.cat([images[i % len(images)] for i in range(size)])
    lap = cpu_lap(lambda: reference(batch))
    rounds = SLOW_ROUNDS if lap.wall > SLOW else ROUNDS
    return ratio_of(interleave(lambda: exported(batch), lambda: reference(batch), rounds, cpu_lap))


def report_table(gate: Gate, form: Form) -> Table:
    """Every comparison as a row."""
    table = Table(
        title=f"{form.format} {form.precision} in {RUNS_IN[form.format]} beside torch fp32 on "
        f"{many(gate.parity[0].pictures, 'picture')}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("canvas", no_wrap=True)
    for column in ("batch", "detections", "box px", "score", "excused", "other", "speed"):
        table.add_column(column, justify="right", no_wrap=True)
    for row, ratio in zip(gate.parity, gate.speed, strict=True):
        one = row.agreement
        table.add_row(
            f"{row.canvas[0]} x {row.canvas[1]}",
            str(row.batch),
            str(one.pairs),
            f"{one.pixels:.1e}",
            f"{one.score:.1e}",
            str(one.excused),
            str(one.different),
            f"{ratio.value:.2f}x",
        )
    return table


def report_lines(gate: Gate) -> Iterator[str]:
    """What the table has no place for."""
    if gate.accuracy is not None:
        found = gate.accuracy
        yield (
            f"AP {found.before:.4f} in torch, {found.after:.4f} exported: {found.change.value:+.4f}, "
            f"95 %: {found.change.low:+.4f} to {found.change.high:+.4f} ({many(found.pictures, 'picture')})"
        )


@contextmanager
def _progress(title: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A function that is told how many are done; a bar with the time left, where a person looks on."""
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
