"""``foveal train``: a configuration -> ``runs/<name>/`` with everything the run made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from torch import Tensor

from foveal.build import (
    build_criterion,
    build_detector,
    build_inference,
    build_loader,
    build_records,
    build_tiling,
    with_class_balance,
)
from foveal.checkpoint.format import CheckpointHeader, load_checkpoint, save_checkpoint
from foveal.checkpoint.transfer import carry_over
from foveal.config.dump import dump_config
from foveal.config.load import data_of, load_config
from foveal.config.schema import Config
from foveal.data.loader import Loader
from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.health.history import facts_of
from foveal.diagnosis.health.watch import HealthWatch
from foveal.diagnosis.report.environment import write_environment
from foveal.diagnosis.report.gather import ENVIRONMENT
from foveal.diagnosis.report.writing import PAGE
from foveal.engine.device import trainer_hardware, world_size
from foveal.engine.fit import FitResult, fit
from foveal.engine.health import HEALTH
from foveal.engine.logs import METRICS
from foveal.engine.random_state import seed_everything
from foveal.engine.saving import BEST_WEIGHTS, LAST, LAST_WEIGHTS, PREVIOUS
from foveal.errors import DataError, ModelFileError, UsageError
from foveal.files import free_name, write_bytes, write_text
from foveal.metrics.coco import CocoEvaluator
from foveal.models.detector import Detector
from foveal.ops.letterbox import size_policy
from foveal.runtime.draw import draw_batch
from foveal.runtime.tiled_evaluation import coco_evaluator
from foveal.runtime.tiling import tiling_policy
from foveal.runtime.validation_set import check_common_class
from foveal.types import ClassNames
from foveal.verbs.evaluate import Evaluation, evaluate, with_galleries, write_evaluation
from foveal.verbs.report import report_after_training
from foveal.verbs.summary import describe_data, describe_tiles

CONFIG_FILE = "config.yaml"
EVALUATION_FILE = "evaluation.json"
GALLERIES = "galleries"
RUN_FILES = (
    CONFIG_FILE,
    ENVIRONMENT,
    EVALUATION_FILE,
    GALLERIES,
    PAGE,
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    METRICS,
    HEALTH,
    LAST,
    PREVIOUS,
)
"""What a run writes: none of it may be there when another begins."""


class TrainResult(NamedTuple):
    """What a run made."""

    folder: Path
    fit: FitResult
    evaluation: Evaluation | None
    """``best.safetensors`` on the validation set; None without one."""

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
    on with (no config then). start_from: a checkpoint whose weights are taken over, class by class name.
    """
    if world_size() > 1:
        raise UsageError(
            "several processes: validation and the run folder are not shared yet; start one process"
        )
    console = Console(quiet=quiet)
    if resume is not None and start_from is not None:
        raise UsageError("--resume goes on with the run's own weights: give no --from with it")
    folder, settings = _settings(config, overrides, name, output, resume, device, seed)
    trainer_hardware(settings.training.device, settings.training.precision)  # refused before anything is made
    train_records, val_records = load_data(settings)
    console.print(describe_data("train", train_records), soft_wrap=True, markup=False)
    if val_records is not None:
        console.print(describe_data("val", val_records), soft_wrap=True, markup=False)
    classes = train_records.classes
    model = with_class_balance(settings.model, train_records.boxes_per_class())
    settings = settings.model_copy(update={"model": model})
    seed_everything(settings.training.seed)
    detector = build_detector(
        settings.model, len(classes.names), pretrained=resume is None and start_from is None
    )
    if start_from is not None:
        console.print(_take_over(detector, start_from, classes), soft_wrap=True, markup=False)
    elif detector.backbone.transfer_report:
        console.print(f"backbone: {detector.backbone.transfer_report}", soft_wrap=True, markup=False)
    if resume is None:
        write_text(folder / CONFIG_FILE, dump_config(settings))
        write_environment(folder)
    train_loader = _loader(train_records, settings, "train", console)
    val_loader = None if val_records is None else _loader(val_records, settings, "val", console)
    result = fit(
        detector,
        build_criterion(settings.model),
        build_inference(detector, settings.model).postprocess,
        train_loader,
        val_loader,
        None if val_loader is None else _evaluator(val_loader, settings),
        settings.training,
        folder,
        weights_writer(settings, classes),
        resume,
        quiet,
        HealthWatch(facts_of(settings, train_loader.dataset.records, start_from is not None)),
    )
    best = None
    if val_records is not None:
        best = evaluate(
            result.best_file,
            batch_size=settings.training.batch_size,
            device=settings.training.device,
            workers=data_of(settings).workers,
            quiet=quiet,
            thresholds="f1",
        )
        best = with_galleries(best, folder / GALLERIES)
        write_evaluation(best, folder / EVALUATION_FILE, result.best_file)
        _store_thresholds(result.best_file, best)
    report_after_training(folder, console)
    console.print(f"run folder: {folder}", soft_wrap=True, markup=False)
    return TrainResult(folder, result, best)


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


def is_run_folder(path: Path) -> bool:
    """Whether a path is taken by a run (or is a file), so that a new one must go elsewhere."""
    return path.is_file() or any((path / file).exists() for file in RUN_FILES)


def load_data(settings: Config) -> tuple[Records, Records | None]:
    """Training and validation records with the same classes; DataError where there is nothing to learn from."""
    data = data_of(settings)
    train_records = build_records(data.train, data.classes, data.strict)
    if len(train_records) == 0:
        raise DataError("data.train: no pictures" + _first_fault(train_records))
    if not (~train_records.crowd).any():
        raise DataError("data.train: not one usable box" + _first_fault(train_records))
    if data.val is None:
        return train_records, None
    val_records = build_records(data.val, list(train_records.classes.names), data.strict)
    if len(val_records) == 0:
        raise DataError("data.val: no pictures" + _first_fault(val_records))
    check_common_class(val_records, data.val, "data.val")
    return train_records, val_records


def _loader(records: Records, settings: Config, split: str, console: Console) -> Loader:
    loader = build_loader(records, settings, train=split == "train")
    seen = loader.dataset.records
    if isinstance(seen, TiledRecords):
        console.print(describe_tiles(split, seen), soft_wrap=True, markup=False)
    return loader


def _evaluator(val_loader: Loader, settings: Config) -> CocoEvaluator:
    return coco_evaluator(val_loader.dataset.records, settings.model.postprocessor.params)


def weights_writer(
    settings: Config, classes: ClassNames
) -> Callable[[Path, Mapping[str, Tensor], dict[str, Any]], None]:
    """A function that writes a model's weights as a checkpoint with everything needed to use them."""
    return partial(_save, settings, classes)


def _save(
    settings: Config, classes: ClassNames, path: Path, state: Mapping[str, Tensor], facts: dict[str, Any]
) -> None:
    data = data_of(settings)
    policy = size_policy(*data.image_size) | tiling_policy(build_tiling(data.tiles))
    header = CheckpointHeader(settings.model_dump(mode="json"), classes, policy, facts=facts)
    save_checkpoint(path, state, header)


def _store_thresholds(file: Path, best: Evaluation) -> None:
    """Write each class's best-F1 threshold into the checkpoint; ``predict`` goes by them."""
    assert best.analysis is not None
    header, state = load_checkpoint(file)
    save_checkpoint(file, state, replace(header, thresholds=best.analysis.thresholds.values))


def _settings(
    config: Path | None,
    overrides: Sequence[str],
    name: str | None,
    output: Path,
    resume: Path | None,
    device: str | None,
    seed: int | None,
) -> tuple[Path, Config]:
    """Run folder and resolved configuration."""
    changes = list(overrides)
    if device is not None:
        changes.append(f"training.device={device}")
    if resume is not None:
        if config is not None or name is not None or seed is not None:
            raise UsageError("--resume takes the run's own config: give no config, --name or --seed with it")
        if not (resume / CONFIG_FILE).is_file():
            raise UsageError(f"{resume}: not a run folder: it has no {CONFIG_FILE}")
        return resume, load_config(resume / CONFIG_FILE, changes)
    if config is None:
        raise UsageError("which config? foveal train CONFIG.yaml (foveal init DATA -o FILE writes one)")
    if seed is not None:
        changes.append(f"training.seed={seed}")
    settings = load_config(config, changes)
    return free_name(output / (name or config.stem), is_run_folder), settings


def _take_over(detector: Detector, start_from: Path, classes: ClassNames) -> str:
    """Fine-tuning: weights from a checkpoint; the report of what was reused."""
    source = load_checkpoint(start_from)
    num_anchors = detector.head.num_anchors
    assert isinstance(num_anchors, int)
    transfer = carry_over(source.state, source.header.classes, detector.state_dict(), classes, num_anchors)
    report = transfer.report
    # A few small layers fit any network; going on would train the rest from random weights.
    if len(report.matched) < len(report.missing):
        raise ModelFileError(
            f"{start_from}: of another network ({report.summary()}); use its model.architecture"
        )
    detector.load_state_dict(transfer.state)
    return report.summary()


def _first_fault(records: Records) -> str:
    if not records.faults:
        return ""
    fault = records.faults[0]
    more = f" (and {len(records.faults) - 1} more)" if len(records.faults) > 1 else ""
    return f"; {fault.where}: {fault.message}{more}"
