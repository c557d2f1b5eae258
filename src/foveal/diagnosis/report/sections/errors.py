"""What the mistakes are, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foveal.diagnosis.report.blocks import (
    MISSING,
    Beside,
    Block,
    Column,
    Figures,
    Fold,
    Item,
    Items,
    Note,
    Row,
    Section,
    Table,
    sentence,
)
from foveal.diagnosis.report.charts.bars import Bar, bar_chart
from foveal.diagnosis.report.charts.heat import heat_map
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run, at, number, rows
from foveal.diagnosis.report.measured import ERROR_KINDS, error_counts, error_points, said
from foveal.diagnosis.report.sections.overview import EVALUATE

LEAD = "What kinds of mistakes there are, and how many points of AP50 each kind costs."
ERROR_WORDS = {
    "class": "right box, wrong class",
    "location": "right class, box off (IoU under 0.5)",
    "both": "wrong class and box off",
    "duplicate": "a second box on one object",
    "background": "a box where nothing is labelled",
    "missed": "an object that nothing finds",
}
NOTHING = "nothing"
MOST_CELLS = 60


def errors(runs: Sequence[Run]) -> Section:
    """The split by TIDE's kinds, the confusion matrices, and the split of each class."""
    known = [run for run in runs if error_points(run)]
    matrices = [chart for run in runs if (chart := _confusion(run, len(runs) > 1)) is not None]
    if not known and not matrices:
        words = "No error split in this run: evaluating it with this Foveal writes one."
        return Section("errors", "Errors", LEAD, [Note(words, "absent", EVALUATE)])
    blocks: list[Block] = []
    if known:
        blocks.append(Beside([_counts(runs), Figures([_split(runs)])]))
    tables = [(run, table) for run in runs if (table := _per_class(run)) is not None]
    if len(runs) == 1 and matrices and tables and not matrices[0].wide:
        blocks.append(Beside([Figures(matrices), tables[0][1]]))
    else:
        blocks += [Figures(matrices)] if matrices else []
        blocks += [
            Fold(f"By class, {run.name}" if len(runs) > 1 else "By class", [table]) for run, table in tables
        ]
    blocks += [_words(run, len(runs) > 1) for run in runs if said(run)]
    return Section("errors", "Errors", LEAD, blocks)


def _words(run: Run, several: bool) -> Block:
    """What the evaluation says, and what usually helps."""
    found = Items([Item(sentence(one.message), sentence(one.fix) if one.fix else "") for one in said(run)])
    return Fold(f"In words, {run.name}", [found]) if several else found


def _split(runs: Sequence[Run]) -> Figure:
    tables = [error_points(run) for run in runs]
    bars = [Bar(kind, [table.get(kind) for table in tables], (), ERROR_WORDS[kind]) for kind in ERROR_KINDS]
    if len(runs) == 1:
        bars.sort(key=lambda bar: -(bar.values[0] or 0.0))
    note = (
        "What AP50 would gain were all errors of the kind mended, and nothing else (TIDE, Bolya et al. 2020); "
        "the kinds do not add up. Missed is what no detection finds, however low its score: what is found under "
        "the thresholds stands in the confusion matrix as nothing."
    )
    names, colours = [run.name for run in runs], [run.place for run in runs]
    return bar_chart("Points of AP50 lost by kind of error", bars, names, note=note, colours=colours)


def _counts(runs: Sequence[Run]) -> Table:
    counts = [error_counts(run) for run in runs]
    points = [error_points(run) for run in runs]
    rows_: list[Row] = []
    for kind in ERROR_KINDS:
        cells = []
        for count, cost in zip(counts, points, strict=True):
            cells += [_number(cost.get(kind)), f"{count[kind]:,}" if kind in count else MISSING]
        rows_.append([kind, *([ERROR_WORDS[kind]] if len(runs) == 1 else []), *cells])
    columns = [Column("error", numeric=False)]
    columns += [Column("meaning", numeric=False)] if len(runs) == 1 else []
    for run in runs:
        several = len(runs) > 1
        columns.append(
            Column(f"{run.name}, points" if several else "points", run=run.place if several else None)
        )
        columns.append(Column("times"))
    return Table(columns, rows_)


def _confusion(run: Run, several: bool) -> Figure | None:
    """Boxes down, detections across; background as the last of both."""
    table = run.evaluation.get("confusion")
    names, counts = at(table, "names"), at(table, "counts")
    if not isinstance(names, list) or not isinstance(counts, list) or not 1 < len(names) <= MOST_CELLS:
        return None
    values = [[number(cell) for cell in line] if isinstance(line, list) else [] for line in counts]
    if len(values) != len(names) or any(len(line) != len(names) or None in line for line in values):
        return None
    words = [NOTHING if name is None else str(name) for name in names]
    return heat_map(
        "Confusion matrix" + (f", {run.name}" if several else ""),
        words,
        words,
        [[float(cell or 0) for cell in line] for line in values],
        "detected as",
        "labelled as",
        "Detections over each class's threshold, at IoU 0.5. The column nothing: objects that are not found; the "
        "line nothing: detections on no object. Colour: share of the line.",
    )


def _per_class(run: Run) -> Table | None:
    found: list[dict[str, Any]] = rows(at(run.evaluation, "errors", "per_class"))
    if not found:
        return None
    lines: list[Row] = [
        [str(row.get("name", "")), *(_number(number(at(row, "points", kind))) for kind in ERROR_KINDS)]
        for row in found
    ]
    columns = [Column("class", numeric=False), *(Column(kind, tip=ERROR_WORDS[kind]) for kind in ERROR_KINDS)]
    return Table(columns, lines, caption="Points of the class's own AP50")


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}"
