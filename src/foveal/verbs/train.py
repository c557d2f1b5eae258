"""``foveal train``: a configuration -> ``runs/<name>/`` with everything the run made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from foveal.build import (
    build_criterion,
    build_detector,
    build_inference,
    build_loader,
    build_records,
    with_class_balance,
)
from foveal.config.load import data_of, load_config
from foveal.config.schema import Config, Model
from foveal.data.loader import Loader
from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.health.history import facts_of
from foveal.diagnosis.health.watch import HealthWatch
from foveal.diagnosis.report.environment import write_environment
from foveal.engine.device import device_type, trainer_hardware
from foveal.engine.fit import FitResult, fit
from foveal.engine.processes import from_all, from_first, is_first, joined, several
from foveal.engine.random_state import seed_everything
from foveal.files import free_name, write_bytes, write_text
from foveal.metrics.coco import CocoEvaluator
from foveal.models.detector import Detector
from foveal.models.shared_norm import share_batch_norm
from foveal.runtime.draw import draw_batch
from foveal.runtime.tiled_evaluation import coco_evaluator
from foveal.types import ClassNames
from foveal.verbs.evaluate import Evaluation, evaluate, with_galleries, write_evaluation
from foveal.verbs.launch import Place, begin, choose_place
from foveal.verbs.report import report_after_training
from foveal.verbs.run_folder import EVALUATION_FILE, GALLERIES
from foveal.verbs.run_settings import CONFIG_FILE, RunSettings, run_settings, run_text
from foveal.verbs.run_weights import store_thresholds, take_over, weights_writer
from foveal.verbs.summary import describe_tiles
from foveal.verbs.training_data import first_lines, load_data, picture_names

Say = Callable[[str], None]


class TrainResult(NamedTuple):
    """What a run made."""

    folder: Path
    fit: FitResult
    evaluation: Evaluation | None
    """``best.safetensors`` on the validation set; None without one, and in all processes but the first."""

    @property
    def metrics(self) -> dict[str, float | None]:
        """The 12 COCO numbers; empty without a validation set."""
        return {} if self.evaluation is None else self.evaluation.metrics


def train(
    config: Path | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    output: Path = Path("runs"),
    resume: Path | None = None,
    start_from: Path | None = None,
    device: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train a detector.

    config: a YAML file; overrides: ``key.sub=value``. name: of the run folder under ``output``; default: the
    file's name; an existing folder is never written over, a number is added instead. resume: a run folder to go
    on with (no config then); overrides become the run's own settings. start_from: a checkpoint whose weights are
    taken over, class by class name.
    Started by torchrun, the processes train one model in one folder; started by it once more after a crash, they
    go on with the run that they began.
    """
    quiet = quiet or not is_first()
    console = Console(quiet=quiet)
    with joined():
        told = run_settings(config, overrides, name, resume, start_from, device, seed)
        training = told.config.training
        trainer_hardware(training.device, training.precision)  # refused before anything is made
        wanted = output / told.name
        place = from_first(lambda: choose_place(wanted, resume))
        if place.restarted and place.resume is not None:
            told, start_from = run_settings(None, (), None, place.resume), None
        folder, result, settings = _train(told, place, wanted, start_from, console)
    if not is_first():
        return TrainResult(folder, result, None)
    has_val = data_of(settings).val is not None
    console.print(
        f"trained: weights are in {folder}; now evaluation and report", soft_wrap=True, markup=False
    )
    best = _measure(result, settings, folder, quiet) if has_val else None
    report_after_training(folder, console)
    console.print(f"run folder: {folder}", soft_wrap=True, markup=False)
    return TrainResult(folder, result, best)


def _train(
    told: RunSettings, place: Place, wanted: Path, start_from: Path | None, console: Console
) -> tuple[Path, FitResult, Config]:
    """Data, network and run folder made, and the model trained; the folder, and the settings as in the end."""
    say = partial(console.print, soft_wrap=True, markup=False)
    folder, resume = place.folder, place.resume
    if place.restarted:
        say(f"started again by torchrun: {'going on with' if resume else 'beginning anew in'} {folder}")
    parts = load_data(told.config)
    for line in first_lines(*parts, told.config, fresh=resume is None):
        say(line)
    model = with_class_balance(told.config.model, parts[0].boxes_per_class())
    settings = told.config.model_copy(update={"model": model})
    seed_everything(settings.training.seed)
    detector = _detector(model, parts[0].classes, start_from, resume is not None, say)
    if several():
        share_batch_norm(detector, device_type(settings.training.device))
    from_all(None)  # nothing is made before every process has what it needs
    if resume is None:
        folder = from_first(lambda: begin(place, wanted))
        if is_first():
            write_text(folder / CONFIG_FILE, run_text(settings, start_from))
            write_environment(folder)
    result = _fit(detector, parts, told._replace(config=settings), folder, resume, console.quiet, say)
    return folder, result, settings


def _detector(
    model: Model, classes: ClassNames, start_from: Path | None, resumed: bool, say: Say
) -> Detector:
    """The network, with the backbone's weights or another run's, unless a resume state will bring its own."""
    detector = build_detector(model, len(classes.names), pretrained=not resumed and start_from is None)
    if start_from is not None:
        say(take_over(detector, start_from, classes))
    elif detector.backbone.transfer_report:
        say(f"backbone: {detector.backbone.transfer_report}")
    return detector


def _fit(
    detector: Detector,
    parts: tuple[Records, Records | None],
    told: RunSettings,
    folder: Path,
    resume: Path | None,
    quiet: bool,
    say: Say,
) -> FitResult:
    settings, (train_records, val_records) = told.config, parts
    train_loader = _loader(train_records, settings, "train", say)
    val_loader = None if val_records is None else _loader(val_records, settings, "val", say)
    return fit(
        detector,
        build_criterion(settings.model),
        build_inference(detector, settings.model).postprocess,
        train_loader,
        val_loader,
        None if val_loader is None else _evaluator(val_loader, settings),
        settings.training,
        folder,
        weights_writer(settings, train_records.classes),
        resume,
        quiet,
        HealthWatch(facts_of(settings, train_loader.dataset.records, told.fine_tuned)),
        partial(_keep_settings, folder / CONFIG_FILE, settings),
        picture_names(train_records),
    )


def _keep_settings(file: Path, settings: Config) -> None:
    """A resumed run's overrides become its own: taken up once more, it goes on with them."""
    if not is_first():
        return
    text = run_text(settings, before=file)
    if text != file.read_text(encoding="utf-8"):
        write_text(file, text)


def _measure(result: FitResult, settings: Config, folder: Path, quiet: bool) -> Evaluation:
    """The best weights on the validation set: figures, galleries, and thresholds that go into the checkpoint."""
    measured = evaluate(
        result.best_file,
        batch_size=settings.training.batch_size,
        device=settings.training.device,
        workers=data_of(settings).workers,
        quiet=quiet,
        thresholds="f1",
    )
    measured = with_galleries(measured, folder / GALLERIES)
    write_evaluation(measured, folder / EVALUATION_FILE, result.best_file)
    store_thresholds(result.best_file, measured)
    return measured


def show_batch(config: Path, overrides: Sequence[str] = (), output: Path = Path("runs")) -> Path:
    """Write a picture of the first training batch, as the network will see it, into ``output``; its path."""
    settings = load_config(config, overrides)
    data = data_of(settings)
    records = build_records(data.train, data.classes, data.strict)
    batch = next(iter(build_loader(records, settings, train=True)))
    buffer = BytesIO()
    draw_batch(batch, records.classes.names).save(buffer, format="png")
    path = free_name(output / f"{config.stem}_batch.png")
    write_bytes(path, buffer.getvalue())
    return path


def _loader(records: Records, settings: Config, split: str, say: Say) -> Loader:
    loader = build_loader(records, settings, train=split == "train")
    seen = loader.dataset.records
    if isinstance(seen, TiledRecords):
        say(describe_tiles(split, seen))
    return loader


def _evaluator(val_loader: Loader, settings: Config) -> CocoEvaluator:
    return coco_evaluator(val_loader.dataset.records, settings.model.postprocessor.params)
