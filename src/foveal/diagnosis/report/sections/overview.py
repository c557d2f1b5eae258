"""The 12 COCO numbers, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import (
    Beside,
    Block,
    Cell,
    Column,
    Facts,
    Figures,
    Fold,
    Note,
    Row,
    Section,
    Table,
    points,
    range_words,
)
from foveal.diagnosis.report.charts.bars import Bar, bar_chart
from foveal.diagnosis.report.gather import Run, number
from foveal.diagnosis.report.measured import COCO_METRICS, interval

LEAD = "COCO's numbers, of 100, on pictures that were not trained on."
MEANING = {
    "AP": "average precision, mean over IoU 0.50 to 0.95",
    "AP50": "average precision at IoU 0.50: a box that roughly fits counts",
    "AP75": "average precision at IoU 0.75: a box has to fit well",
    "APs": "AP of small objects, under 32 px square",
    "APm": "AP of medium objects, 32 to 96 px square",
    "APl": "AP of large objects",
    "AR1": "recall with 1 detection a picture",
    "AR10": "recall with 10 detections a picture",
    "AR100": "recall with 100 detections a picture",
    "ARs": "recall of small objects",
    "ARm": "recall of medium objects",
    "ARl": "recall of large objects",
}
EVALUATE = "foveal evaluate RUN/best.safetensors -o evaluation.json"
CHART = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def overview(runs: Sequence[Run]) -> Section:
    """A chart of the six precisions, and the table of all twelve."""
    if not any(run.metric(name) is not None for run in runs for name in COCO_METRICS):
        words = "Not evaluated: the run has no evaluation.json. With a labelled set it can be measured:"
        return Section("results", "Results", LEAD, [Note(words, "absent", EVALUATE)])
    bars = [
        Bar(
            name,
            [_in_points(run.metric(name)) for run in runs],
            [_span(interval(run, name)) for run in runs],
            MEANING[name],
        )
        for name in CHART
    ]
    names = [run.name for run in runs]
    colours = [run.place for run in runs]
    chart = Figures([bar_chart("Average precision", bars, names, high=100.0, colours=colours)])
    blocks: list[Block] = [Beside([_table(runs), chart])]
    if len(runs) > 1:
        blocks.append(Fold("What these numbers mean", [Facts(list(MEANING.items()))]))
    blocks += _remarks(runs)
    return Section("results", "Results", LEAD, blocks)


def _table(runs: Sequence[Run]) -> Table:
    columns = [Column("metric", numeric=False)]
    columns += [
        Column(run.name if len(runs) > 1 else "value", run=run.place if len(runs) > 1 else None)
        for run in runs
    ]
    alone = len(runs) == 1
    columns += [Column("meaning", numeric=False)] if alone else []
    rows: list[Row] = []
    for name in COCO_METRICS:
        best = max((value for run in runs if (value := run.metric(name)) is not None), default=None)
        cells = []
        for run in runs:
            value = run.metric(name)
            strong = name == "AP" if alone else value is not None and value == best
            cells.append(Cell(points(value), strong, range_words(interval(run, name))))
        rows.append([name, *cells, *([MEANING[name]] if alone else [])])
    return Table(columns, rows)


def _remarks(runs: Sequence[Run]) -> list[Block]:
    """Where the numbers come from, and what is not known of them."""
    found: list[Block] = []
    pictures = {number(run.evaluation.get("pictures")) for run in runs} - {None}
    if len(pictures) == 1:
        found.append(
            Note(f"Measured on {next(iter(pictures)):,.0f} pictures. A dash: there is no such object.")
        )
    words = "no evaluation.json; the values are those that the checkpoint noted of its validation."
    alone = [run for run in runs if not run.evaluation and run.metric("AP") is not None]
    found += [Note(f"{run.name}: {words}") for run in alone]
    if not any(interval(run, "AP") for run in runs):
        found.append(
            Note("No intervals: these come with the evaluation of a newer Foveal.", "absent", EVALUATE)
        )
    return found


def _in_points(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _span(span: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if span is None else (100 * span[0], 100 * span[1])
