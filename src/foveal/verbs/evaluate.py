"""``foveal evaluate``: the 12 COCO numbers of a checkpoint on a labelled set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader

from foveal.checkpoint.format import load_checkpoint
from foveal.data.loader import make_loader
from foveal.data.records import Records
from foveal.files import free_name, write_text
from foveal.metrics.coco import ClassResult, CocoEvaluator
from foveal.runtime.backends import accelerate, check_choice
from foveal.runtime.calibration import calibration_images
from foveal.runtime.device import resolve_device
from foveal.runtime.predictor import canvas_of, load_inference
from foveal.runtime.validation_set import validation_set
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

    data: as in ``validation_set``; default: the validation set that the checkpoint was trained with.
    output: where to write the JSON (a numbered one where that file is there); default: nothing is written.
    backend, precision, calibration: as in ``Predictor``. Classes are matched by name.
    """
    check_choice(backend, precision, device)
    loaded = load_checkpoint(checkpoint)
    console = Console(quiet=quiet)
    records = validation_set(loaded.header, checkpoint, data)
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
