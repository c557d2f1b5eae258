"""``foveal evaluate``: the 12 COCO numbers of a checkpoint on a labelled set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader

from foveal.build import build_records
from foveal.checkpoint.format import CheckpointHeader, load_checkpoint
from foveal.config.load import load_config
from foveal.config.schema import Data, Source
from foveal.data.layout import coco_source
from foveal.data.loader import make_loader
from foveal.data.records import Records
from foveal.errors import DataError, ModelFileError, UsageError
from foveal.files import free_name, write_text
from foveal.metrics.coco import ClassResult, CocoEvaluator
from foveal.runtime.backends import accelerate, check_choice
from foveal.runtime.calibration import calibration_images
from foveal.runtime.device import resolve_device
from foveal.runtime.predictor import canvas_of, load_inference
from foveal.types import Batch
from foveal.verbs.predict import find_pictures
from foveal.verbs.summary import describe_data


class Evaluation(NamedTuple):
    """What a model reaches on a labelled set."""

    metrics: dict[str, float | None]
    """The 12 COCO numbers, ``AP`` to ``ARl``; None where COCO says -1."""
    per_class: list[ClassResult]
    pictures: int
    evaluator: CocoEvaluator


def evaluate(
    checkpoint: Path,
    data: Path | None = None,
    output: Path | None = None,
    batch_size: int = 4,
    device: str = "auto",
    workers: int = 2,
    quiet: bool = False,
    backend: str = "torch",
    precision: str = "fp32",
    calibration: Path | None = None,
) -> Evaluation:
    """Measure a checkpoint on labelled pictures.

    data: a config file (its val, or else its train), or a COCO JSON with its pictures beside it or in
    ``images``; default: the validation set that the checkpoint was trained with.
    output: where to write the JSON (a numbered one where that file is there); default: nothing is written.
    backend, precision, calibration: as in ``Predictor``. Classes are matched by name.
    """
    check_choice(backend, precision, device)
    loaded = load_checkpoint(checkpoint)
    console = Console(quiet=quiet)
    source = _own_validation_set(loaded.header, checkpoint) if data is None else _source(data)
    records = _records(source, loaded.header)
    if data is not None:
        console.print(describe_data(str(data), records), soft_wrap=True, markup=False)
    canvas = canvas_of(loaded.header)
    loader = make_loader(records, canvas, batch_size, train=False, workers=workers)
    place = resolve_device(device if backend == "torch" else "cpu")
    pictures = None if calibration is None else find_pictures([str(calibration)])
    images = calibration_images(loaded.header, canvas, pictures)
    model = accelerate(load_inference(loaded, checkpoint), backend, precision, place, images)
    result = run_evaluation(model, loader, records, place, quiet)
    console.print(metrics_table(result, f"{checkpoint.name} on {len(records)} pictures"))
    if output is not None:
        output = free_name(output)
        write_evaluation(result, output, checkpoint)
        console.print(f"written to {output}", soft_wrap=True, markup=False)
    return result


@torch.inference_mode()
def run_evaluation(
    model: nn.Module, loader: DataLoader[Batch], records: Records, device: torch.device, quiet: bool = False
) -> Evaluation:
    """Detect on every picture of a loader and compare with the records' labels."""
    evaluator = CocoEvaluator(records.ground_truth())
    console = Console(stderr=True, quiet=quiet)
    hidden = not console.is_terminal  # a transient bar leaves an empty line in a file
    for batch in track(loader, "evaluating", console=console, transient=True, disable=hidden):
        evaluator.update(model(batch.images.to(device)), batch)
    return Evaluation(evaluator.compute(), evaluator.per_class(), len(records), evaluator)


def write_evaluation(result: Evaluation, path: Path, checkpoint: Path) -> None:
    """``evaluation.json``: the 12 numbers at the top level, then the rows per class."""
    content = {
        **result.metrics,
        "pictures": result.pictures,
        "checkpoint": str(checkpoint),
        "per_class": [row._asdict() for row in result.per_class],
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def metrics_table(result: Evaluation, title: str) -> Table:
    """The twelve numbers and those of each class: all classes first, the further recalls under the table."""
    recalls = (f"{name} {_number(result.metrics[name])}" for name in ("AR1", "AR10", "ARs", "ARm", "ARl"))
    table = Table(
        title=escape(title),
        title_justify="left",
        caption=f"all: {'  '.join(recalls)}",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("class", no_wrap=True, min_width=12)
    columns = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    for column in ("boxes", *columns):
        table.add_column(column, justify="right", no_wrap=True, min_width=5)
    boxes = sum(row.boxes for row in result.per_class)
    numbers = (_number(result.metrics[name]) for name in columns)
    table.add_row("all", str(boxes), *numbers, style="bold", end_section=True)
    for row in result.per_class:
        by_class = (_number(row.AP), _number(row.AP50), "", "", "", "", _number(row.AR100))
        table.add_row(escape(row.name), str(row.boxes), *by_class)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _own_validation_set(header: CheckpointHeader, checkpoint: Path) -> Source:
    values = header.config.get("data")
    try:
        section = None if values is None else Data.model_validate(values)
    except ValidationError as error:
        raise ModelFileError(
            f"{checkpoint}: Foveal {header.version} wrote a data section that this one cannot read "
            f"({error.errors()[0]['msg']}); give the data with --data CONFIG.yaml or COCO.json"
        ) from error
    if section is None or section.val is None:
        raise UsageError(
            "the checkpoint names no validation set: give one with --data CONFIG.yaml or COCO.json"
        )
    return section.val


def _source(data: Path) -> Source:
    if data.suffix.lower() == ".json":
        return coco_source(data, data.parent)
    section = load_config(data).data
    assert section is not None
    return section.val or section.train


def _records(source: Source, header: CheckpointHeader) -> Records:
    """The labels, in the model's class order; no class in common is an error that shows both lists."""
    records = build_records(source, list(header.classes.names))
    if len(records) == 0:
        raise DataError("the data set has no pictures: nothing to evaluate")
    check_common_class(records, source, "the data set")
    return records


def check_common_class(records: Records, source: Source, name: str) -> None:
    """DataError with both lists where every box of ``records``, read from ``source``, is of another class."""
    if len(records.labels) or not records.fault_counts().get("unknown_class"):
        return
    known, found = (
        ", ".join(classes) for classes in (records.classes.names, build_records(source).classes.names)
    )
    raise DataError(f"{name}: no class in common: the model knows {known}; the labels have {found}")
