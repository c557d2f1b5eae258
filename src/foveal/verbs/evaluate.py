"""``foveal evaluate``: the 12 COCO numbers of a checkpoint, how sure they are, and what the errors cost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

from foveal.checkpoint.format import Checkpoint, save_checkpoint
from foveal.data.loader import make_loader
from foveal.data.parts import Part
from foveal.data.records import Records
from foveal.data.tiled import numbered_tiles
from foveal.diagnosis.after.analysis import Analysis, analyse, as_json
from foveal.diagnosis.after.findings import findings
from foveal.diagnosis.after.galleries import Gallery, write_galleries
from foveal.diagnosis.after.text import all_lines, detail_tables, error_lines, interval_text
from foveal.errors import UsageError
from foveal.files import free_name, write_text
from foveal.grammar import many
from foveal.metrics.coco import ClassResult, CocoEvaluator
from foveal.metrics.intervals import Interval
from foveal.metrics.thresholds import ThresholdRule, parse_rule
from foveal.runtime.calibration import calibration_images
from foveal.runtime.exported import Detect
from foveal.runtime.model_file import ModelFile, open_model
from foveal.runtime.sources import find_pictures
from foveal.runtime.tiled_evaluation import coco_evaluator
from foveal.runtime.tiling import TileSize, choose_tiling
from foveal.runtime.validation_set import validation_set
from foveal.types import Batch
from foveal.verbs.summary import describe_data


class Evaluation(NamedTuple):
    """What a model reaches on a labelled set."""

    metrics: dict[str, float | None]
    """The 12 COCO numbers, ``AP`` to ``ARl``; None where COCO says -1."""
    per_class: list[ClassResult]
    pictures: int
    evaluator: CocoEvaluator
    records: Records | None = None
    analysis: Analysis | None = None
    galleries: tuple[Gallery, ...] = ()
    gallery_folder: Path | None = None


def evaluate(
    checkpoint: Path,
    data: Path | None = None,
    output: Path | None = None,
    batch_size: int = 4,
    device: str = "auto",
    workers: int = 2,
    quiet: bool = False,
    backend: str = "auto",
    precision: str = "fp32",
    calibration: Path | None = None,
    thresholds: str | None = None,
    write_thresholds: Path | None = None,
    galleries: Path | None = None,
    errors: bool = False,
    tiles: TileSize | None = None,
    overlap: float | None = None,
    part: Part | None = None,
) -> Evaluation:
    """Measure a checkpoint, or a file exported from one, on labelled pictures.

    data, part: as in ``validation_set``; default: the validation set that the checkpoint was trained with.
    output: where to write the JSON (a numbered one where that file is there); default: nothing is written.
    backend, precision, calibration: as in ``Predictor``. Classes are matched by name.
    thresholds: ``f1`` or ``precision=0.9``, chosen on these pictures; default: those in the checkpoint, else f1.
    write_thresholds: file for a copy of the checkpoint with the thresholds chosen here. galleries: new folder for
    pictures of misses, mistakes and likely wrong labels. errors: print the tables behind the error split.
    tiles, overlap: as in ``Predictor``; what is measured are the merged detections of whole pictures.
    """
    rule = _rule(thresholds, write_thresholds)
    file = open_model(checkpoint, backend, precision, device)
    _check_exported(file, data, write_thresholds)
    header, canvas, params = file.header, file.canvas, file.settings.postprocessor.params
    console = Console(quiet=quiet)
    records = validation_set(header, checkpoint, data, part)
    if data is not None or part is not None:
        title = " ".join(str(word) for word in (data, part) if word is not None)
        console.print(describe_data(title, records), soft_wrap=True, markup=False)
    tiling = choose_tiling(header, tiles, overlap)
    seen = records if tiling is None else numbered_tiles(records, tiling)
    loader = make_loader(seen, canvas, batch_size, train=False, workers=workers)
    pictures = None if calibration is None else find_pictures([str(calibration)])
    model = file.start(calibration_images(header, canvas, pictures, tiling))
    result = run_evaluation(model, loader, records, file.device, quiet, coco_evaluator(seen, params))
    result = result._replace(analysis=analyse(result.evaluator, header.thresholds, rule))
    pictures_text = many(len(records), "picture")
    console.print(metrics_table(result, f"{checkpoint.name} on {pictures_text}"))
    _print_analysis(result, console, errors)
    if galleries is not None:
        result = with_galleries(result, free_name(galleries))
        console.print(f"galleries: {result.gallery_folder}", soft_wrap=True, markup=False)
    if write_thresholds is not None:
        assert isinstance(file.content, Checkpoint)
        _write_thresholds(file.content, result, free_name(write_thresholds), console)
    if output is not None:
        output = free_name(output)
        write_evaluation(result, output, checkpoint)
        console.print(f"written to {output}", soft_wrap=True, markup=False)
    return result


def _check_exported(file: ModelFile, data: Path | None, write_thresholds: Path | None) -> None:
    """UsageError for what only a checkpoint has."""
    if isinstance(file.content, Checkpoint):
        return
    if data is None:
        raise UsageError(f"{file.path}: an exported file names no data: give labelled pictures with --data")
    if write_thresholds is not None:
        raise UsageError(f"{file.path}: --write-thresholds needs a checkpoint; export that one again")


def _rule(thresholds: str | None, write_thresholds: Path | None) -> ThresholdRule | None:
    """The rule that was asked for; None: what the checkpoint holds, unless new ones are to be written."""
    if thresholds is not None:
        return parse_rule(thresholds)
    return None if write_thresholds is None else ThresholdRule()


def _print_analysis(result: Evaluation, console: Console, errors: bool) -> None:
    assert result.analysis is not None
    for table in detail_tables(result.analysis) if errors else ():
        console.print(table)
    for line in all_lines(result.analysis) if errors else error_lines(result.analysis):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _write_thresholds(loaded: Checkpoint, result: Evaluation, path: Path, console: Console) -> None:
    assert result.analysis is not None
    header = replace(loaded.header, thresholds=result.analysis.thresholds.values)
    save_checkpoint(path, loaded.state, header)
    console.print(f"checkpoint with these thresholds: {path}", soft_wrap=True, markup=False)


def with_galleries(result: Evaluation, folder: Path) -> Evaluation:
    """Write the galleries of an evaluation; files of an earlier one in the folder are replaced."""
    assert result.analysis is not None
    assert result.records is not None
    made = tuple(write_galleries(result.analysis, result.records, folder))
    return result._replace(galleries=made, gallery_folder=folder)


@torch.inference_mode()
def run_evaluation(
    model: Detect,
    loader: DataLoader[Batch],
    records: Records,
    device: torch.device,
    quiet: bool = False,
    evaluator: CocoEvaluator | None = None,
) -> Evaluation:
    """Detect on every picture of a loader and compare with the records' labels.

    evaluator: for a loader of tiles, the one that merges them; by default each picture is one of the records'.
    """
    evaluator = evaluator or CocoEvaluator(records.ground_truth())
    console = Console(stderr=True, quiet=quiet)
    hidden = not console.is_terminal  # a transient bar leaves an empty line in a file
    for batch in track(loader, "evaluating", console=console, transient=True, disable=hidden):
        evaluator.update(model(batch.images.to(device)), batch)
    return Evaluation(evaluator.compute(), evaluator.per_class(), len(records), evaluator, records)


def write_evaluation(result: Evaluation, path: Path, checkpoint: Path) -> None:
    """``evaluation.json``: the 12 numbers at the top level, the rows per class, then the sections of the analysis.

    Its shape is in ``docs/evaluation.md``; galleries are named relative to the JSON file's folder.
    """
    sections: dict[str, object] = {}
    if result.analysis is not None:
        sections = {
            **as_json(result.analysis),
            "findings": [row._asdict() for row in findings(result.analysis)],
            "galleries": [_gallery(row, result.gallery_folder, path) for row in result.galleries],
        }
    content = {
        **result.metrics,
        "pictures": result.pictures,
        "checkpoint": str(checkpoint),
        "per_class": [row._asdict() for row in result.per_class],
        **sections,
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def _gallery(gallery: Gallery, folder: Path | None, written: Path) -> Mapping[str, object]:
    assert folder is not None
    file = os.path.relpath(folder / gallery.file, written.parent)
    return {**gallery._asdict(), "file": Path(file).as_posix()}


def metrics_table(result: Evaluation, title: str) -> Table:
    """The twelve numbers and those of each class: all classes first, the further recalls under the table."""
    recalls = (f"{name} {_number(result.metrics[name])}" for name in ("AR1", "AR10", "ARs", "ARm", "ARl"))
    intervals = None if result.analysis is None else result.analysis.intervals
    caption = [f"all: {'  '.join(recalls)}"]
    if intervals is not None and intervals.AP is not None and intervals.AP50 is not None:
        pictures = many(intervals.pictures, "picture")
        caption.append(f"AP {interval_text(intervals.AP)} ({pictures})")
        caption.append(f"AP50 {interval_text(intervals.AP50)}")
    table = Table(
        title=escape(title),
        title_justify="left",
        caption="\n".join(caption),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("class", min_width=12, overflow="fold")
    columns = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    for column in ("boxes", *columns):
        table.add_column(column, justify="right", no_wrap=True, min_width=5)
    if intervals is not None:
        table.add_column("AP 95 %", justify="right", no_wrap=True, min_width=7)
    boxes = sum(row.boxes for row in result.per_class)
    numbers = (_number(result.metrics[name]) for name in columns)
    ranges = [] if intervals is None else [_range(row) for row in (intervals.AP, *intervals.per_class)]
    table.add_row("all", str(boxes), *numbers, *ranges[:1], style="bold", end_section=True)
    sizes = result.evaluator.per_class_sizes()
    for place, (row, size) in enumerate(zip(result.per_class, sizes, strict=True), start=1):
        by_class = (row.AP, row.AP50, row.AP75, size.APs, size.APm, size.APl, row.AR100)
        cells = (_number(value) for value in by_class)
        table.add_row(escape(row.name), str(row.boxes), *cells, *ranges[place : place + 1])
    return table


def _range(interval: Interval | None) -> str:
    """``.52-.58``: no zero in front, so that the table stays within 80 columns."""
    if interval is None:
        return "-"
    return "-".join(f"{side:.2f}".removeprefix("0") for side in (interval.low, interval.high))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
