"""``foveal demo``: the whole flow on generated pictures, in minutes, on any machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from foveal.config.load import load_config
from foveal.data.records import Records
from foveal.data.shapes import make_shapes, write_shapes
from foveal.diagnosis.report.writing import PAGE
from foveal.files import free_name, write_text
from foveal.runtime.draw import Boxes, contact_sheet
from foveal.verbs.evaluate import metrics_table
from foveal.verbs.predict import Prediction, predict
from foveal.verbs.train import train
from foveal.verbs.training_data import load_data

TRAIN_PICTURES = 800
VAL_PICTURES = 100
SHEET_PICTURES = 12
SIZE = 128
CLASSES = 3
RECIPE = "demo.yaml"
SHEET_FILE = "contact_sheet.png"


class DemoResult(NamedTuple):
    """What the demo made."""

    folder: Path
    metrics: dict[str, float | None]
    contact_sheet: Path
    seconds: float


def demo(output: Path = Path("runs/demo"), quiet: bool = False, overrides: Sequence[str] = ()) -> DemoResult:
    """Generate shapes, train, evaluate and predict into ``output`` (a numbered one where that is not empty).

    overrides: ``key.sub=value``, for another length or network than the recipe's.
    """
    began = time.monotonic()
    console = Console(quiet=quiet)
    folder = free_name(output, _is_taken)
    console.print(f"1/4  drawing {TRAIN_PICTURES} pictures to train on and {VAL_PICTURES} held out")
    for split, pictures, seed in (("train", TRAIN_PICTURES, 0), ("val", VAL_PICTURES, 1)):
        write_shapes(make_shapes(pictures, CLASSES, SIZE, seed), folder / "data" / split)
    recipe = folder / RECIPE
    write_text(recipe, (files("foveal.recipes") / RECIPE).read_text(encoding="utf-8"))
    console.print("2/4  training, then 3/4  evaluating the best weights on the held-out pictures")
    result = train(recipe, overrides, name=folder.name, output=folder.parent, quiet=quiet)
    console.print("4/4  predicting")
    _, held_out = load_data(load_config(recipe))
    assert held_out is not None
    shown = [held_out.path(place) for place in range(min(SHEET_PICTURES, len(held_out)))]
    sources = [str(path) for path in shown]
    found = predict(result.fit.best_file, sources, folder / "predictions", quiet=True)
    sheet = folder / SHEET_FILE
    _draw_sheet(held_out, found.predictions, sheet)
    seconds = time.monotonic() - began
    assert result.evaluation is not None
    console.print(metrics_table(result.evaluation, f"The demo on {len(held_out)} held-out pictures"))
    best = result.fit.best_file
    for line in (
        f"report: {folder / PAGE}",
        f"contact sheet: {sheet}",
        f"done in {seconds:.0f} seconds",
        f"next: foveal serve {best} for a page to drop pictures on (extra serve), "
        f"foveal export {best} --to onnx for one file that runs elsewhere (extra export)",
    ):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return DemoResult(folder, result.metrics, sheet, seconds)


def _is_taken(path: Path) -> bool:
    """Whether anything is there: the demo writes a data set and a run, and must not mix them with others."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _draw_sheet(records: Records, predictions: list[Prediction], path: Path) -> None:
    rows = []
    for place, prediction in enumerate(predictions):
        truth = records.rows(place)
        names = [records.classes.names[label] for label in truth.labels.tolist()]
        detections = prediction.detections
        boxes = Boxes(detections.boxes, detections.names, detections.scores)
        rows.append((records.load(place), Boxes(truth.boxes, names), boxes, ""))
    header = "Foveal demo: held-out pictures"
    contact_sheet(rows, columns=3, header=header, names=records.classes.names, cell_width=256).save(path)
