"""One call from objects to a trained model: the only door into the engine."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from foveal.config.schema import Training
from foveal.engine.console import RunConsole, duration
from foveal.engine.device import device_type, trainer_hardware
from foveal.engine.health import Watcher
from foveal.engine.keeper import Keeper, SaveWeights
from foveal.engine.module import TrainingModule
from foveal.engine.optim import describe_run, run_length
from foveal.engine.processes import from_first, is_first, world_size
from foveal.engine.progress import Progress
from foveal.engine.recorder import Recorder
from foveal.engine.resuming import check_same_data, processes_of, start_state
from foveal.engine.saving import BEST_WEIGHTS, LAST_WEIGHTS, load_resume_state
from foveal.engine.signals import StopSignals
from foveal.engine.stream import TrainingStream, ValidationBatches
from foveal.engine.validation import Postprocess
from foveal.errors import DataError, Interrupted, UsageError, is_out_of_memory
from foveal.grammar import many
from foveal.types import Criterion, Evaluator

LOST_WORKER = "DataLoader worker"
"""What torch says where one of the loader's processes has ended."""


@dataclass(frozen=True)
class FitResult:
    """What a run came to."""

    best: dict[str, float | None]
    """Metrics of the best validation, with its ``step`` and ``epoch``; empty without validation."""
    steps: int
    """Optimiser steps done, over all resumptions."""
    skipped: int
    """Those left out because of a non-finite loss or gradient."""
    seconds: float
    """Wall time of this process."""
    stopped: str
    """"length" or "early_stopping"."""
    best_file: Path
    last_file: Path


def fit(
    model: nn.Module,
    criterion: Criterion,
    postprocess: Postprocess,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None,
    evaluator: Evaluator | None,
    settings: Training,
    run_folder: Path,
    save_weights: SaveWeights,
    resume: Path | None = None,
    quiet: bool = False,
    watcher: Watcher | None = None,
    begin: Callable[[], None] = lambda: None,
    picture_name: Callable[[int], str] = str,
) -> FitResult:
    """Train a model; write weights, resume state, metrics.csv and TensorBoard into ``run_folder``.

    model: images uint8 [B, 3, H, W] -> outputs. It is trained in place and left with its last raw weights.
    postprocess: (outputs, (height, width)) -> detections, for the evaluator.
    train_loader: gives ``Batch``; has a length. A ``batch_sampler`` that is a ``ResumableBatchSampler`` makes
    taking up a run in mid-epoch cheap; any other loader is read again up to the place.
    val_loader: None for no validation; then the last weights are the best. evaluator: None for losses alone.
    save_weights: writes one weights file, whole or not at all.
    resume: a run folder to go on from, bit for bit as if it had not stopped. With another number of processes that
    makes the same global batches it goes on with the same pictures, but rounds otherwise, which is said.
    watcher: is shown every row of metrics.csv; what it says is printed and kept in ``health.jsonl``.
    begin: called before the first step, when all that can be refused has been.
    picture_name: of a picture's id, for what is said of steps that broke.
    Called in several processes at once (inside of ``processes.joined``), each with its share of the data, they
    train one model; the first one prints and writes.

    UsageError for settings that cannot be; DataError for no data; DiskError, DivergedError, Interrupted.
    """
    began = time.monotonic()
    batches = len(train_loader)  # type: ignore[arg-type]
    if batches == 0:
        raise DataError("no training pictures: the loader gives no batch; check data.train and batch_size.")
    hardware = trainer_hardware(settings.device, settings.precision)
    length = run_length(settings, batches)
    console = RunConsole(length.steps, length.epochs, quiet or not is_first())
    # Read once: another process may see an older file, or a damaged one, and go on from another step.
    state = from_first(lambda: load_resume_state(resume, console.line)) if resume is not None else {}
    progress = Progress(**state["progress"]) if state else Progress()
    if state:
        check_same_data(state, length, resume)
        if (before := len(processes_of(state))) != world_size():
            console.line(
                f"the run had {many(before, 'process', 'processes')}, now it has {world_size()}: "
                "the same pictures in every step, but sums are rounded in another order"
            )
    run_folder.mkdir(parents=True, exist_ok=True)

    for line in describe_run(settings, batches, device_type(settings.device), world_size()):
        console.line(line)
    module = TrainingModule(
        model, criterion, postprocess, evaluator, settings, length, progress, run_folder, picture_name
    )
    stream = TrainingStream(train_loader, length, progress, settings.validate_every)
    recorder = Recorder(console, run_folder, length.steps, progress.step, is_first(), stream, watcher)
    with StopSignals() as signals, _quiet_trainer():
        keeper = Keeper(
            run_folder, save_weights, stream, signals, recorder, val_loader is not None, console.line
        )
        start_state(module, stream, keeper, state, settings.seed)
        begin()
        try:
            console.start(progress.step)
            with _told(signals, settings, progress, run_folder):
                _run(module, stream, val_loader, [recorder, keeper], hardware)
        except BaseException:
            with contextlib.suppress(Exception):  # what ends the run is to be said, not what follows from it
                recorder.close(module)
            raise
        finally:
            console.stop()
        recorder.close(module)
    seconds = time.monotonic() - began
    console.line(f"done: {progress.step} steps in {duration(seconds)}")
    return _result(progress, seconds, run_folder)


def _result(progress: Progress, seconds: float, run_folder: Path) -> FitResult:
    return FitResult(
        best=dict(progress.best),
        steps=progress.step,
        skipped=progress.skipped,
        seconds=seconds,
        stopped=progress.stopped,
        best_file=run_folder / BEST_WEIGHTS,
        last_file=run_folder / LAST_WEIGHTS,
    )


@contextlib.contextmanager
def _told(signals: StopSignals, settings: Training, progress: Progress, run_folder: Path) -> Iterator[None]:
    """What ends a run from outside of this program becomes an error that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # A signal to the whole process group takes the loader's workers, too.
        if signals.received is not None:
            raise Interrupted(
                f"stopped at step {progress.step}; the last saved state is kept, "
                f"go on with: foveal train --resume {run_folder}",
                signals.received,
            ) from error
        if is_out_of_memory(error):
            raise _out_of_memory(progress.step, settings) from error
        if LOST_WORKER in str(error):
            raise _lost_worker(error, progress.step, run_folder) from error
        raise


def _lost_worker(error: Exception, step: int, run_folder: Path) -> UsageError:
    """A loader process was killed: by the system, where memory is full (the machine's, or what they share)."""
    said = " ".join(str(error).split()).rstrip(".")
    return UsageError(
        f"at step {step + 1}: {said}; where memory ran out, lower data.workers or training.batch_size; the last "
        f"saved state is kept, go on with: foveal train --resume {run_folder}"
    )


def _out_of_memory(step: int, settings: Training) -> UsageError:
    """What to lower: the settings ask for more than the device has."""
    ways = []
    if settings.batch_size > 1:
        ways.append(f"training.batch_size (now {settings.batch_size}; training.accumulate makes up for it)")
    ways.append("data.image_size")
    bf16 = ", or set training.precision=bf16" if settings.precision == "fp32" else ""
    return UsageError(
        f"out of memory on {device_type(settings.device)} at step {step + 1}: lower {' or '.join(ways)}{bf16}; "
        "foveal doctor CONFIG --memory says what a step takes"
    )


def _run(
    module: TrainingModule,
    stream: TrainingStream,
    val_loader: Iterable[Any] | None,
    callbacks: list[pl.Callback],
    hardware: dict[str, Any],
) -> None:
    """Hand the parts to the trainer, with everything of its own that writes or prints switched off."""
    trainer = pl.Trainer(
        **hardware,
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,
        default_root_dir=module.run_folder,
    )
    _without_its_signals(trainer)
    validation = ValidationBatches(val_loader) if val_loader is not None else None
    module.model.train()
    if validation is not None and module.run_progress.validation_due:
        trainer.validate(module, validation, verbose=False)
        trainer.should_stop = False
    if module.run_progress.step < module.length.steps and not module.run_progress.stopped:
        trainer.fit(module, stream, validation)


def _without_its_signals(trainer: pl.Trainer) -> None:
    """Several processes ask each other about signals once a step (``Keeper``), and not for the trainer's own, too.

    No signal of ours ever reaches it, and its question would make the host wait for the device at every batch. Its
    handlers, in place until training begins, would talk to the other processes in the midst of something else.
    """
    for part, method in (
        (trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor"),
        (trainer._signal_connector, "register_signal_handlers"),
    ):
        if world_size() > 1 and hasattr(part, method):
            setattr(part, method, lambda: None)


@contextlib.contextmanager
def _quiet_trainer() -> Iterator[None]:
    """Keep the trainer's tips and guesses from the user: what matters, this package says itself."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
