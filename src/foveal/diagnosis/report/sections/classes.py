"""The same numbers for each class."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import (
    MISSING,
    Beside,
    Block,
    Cell,
    Column,
    Figures,
    Row,
    Section,
    Table,
    points,
    range_words,
)
from foveal.diagnosis.report.charts.bars import Bar, bar_chart
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run
from foveal.diagnosis.report.measured import ClassRow, classes

LEAD = "Which classes are found well, and which are not."
MOST_BARS = 20


def per_class(runs: Sequence[Run]) -> Section | None:
    """One run: its table; several: the AP of each side by side, classes by name."""
    tables = [{row.name: row for row in classes(run)} for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    if not names:
        return None
    blocks: list[Block] = []
    blocks.append(_one(tables[0]) if len(runs) == 1 else _several(runs, tables, names))
    if len(names) <= MOST_BARS:
        blocks = [Beside([*blocks, Figures([_chart(runs, tables, names)])])]
    return Section("classes", "Classes", LEAD, blocks)


def _chart(runs: Sequence[Run], tables: Sequence[dict[str, ClassRow]], names: Sequence[str]) -> Figure:
    bars = []
    for name in names:
        found = [table.get(name) for table in tables]
        values = [None if row is None or row.AP is None else 100 * row.AP for row in found]
        spans = [
            None if row is None or row.span is None else (100 * row.span[0], 100 * row.span[1])
            for row in found
        ]
        bars.append(Bar(name, values, spans))
    names, colours = [run.name for run in runs], [run.place for run in runs]
    return bar_chart("AP of each class", bars, names, high=100.0, colours=colours)


def _one(table: dict[str, ClassRow]) -> Table:
    rows: list[Row] = [
        [
            row.name,
            _whole(row.boxes),
            _whole(row.pictures),
            Cell(points(row.AP), strong=True, note=range_words(row.span)),
            points(row.AP50),
            points(row.AR100),
            MISSING if row.threshold is None else f"{row.threshold:.2f}",
        ]
        for row in table.values()
    ]
    columns = [
        Column("class", numeric=False),
        Column("boxes"),
        Column("pictures"),
        Column("AP"),
        Column("AP50"),
        Column("AR100"),
        Column("threshold", tip="score from which foveal predict shows a detection"),
    ]
    return Table(columns, rows)


def _several(runs: Sequence[Run], tables: Sequence[dict[str, ClassRow]], names: Sequence[str]) -> Table:
    rows: list[Row] = []
    for name in names:
        found = [table.get(name) for table in tables]
        best = max((row.AP for row in found if row is not None and row.AP is not None), default=None)
        boxes = next((row.boxes for row in found if row is not None), None)
        cells = [
            MISSING
            if row is None
            else Cell(points(row.AP), row.AP is not None and best == row.AP, range_words(row.span))
            for row in found
        ]
        rows.append([name, _whole(boxes), *cells])
    columns = [Column("class", numeric=False), Column("boxes")]
    columns += [Column(f"AP, {run.name}", run=run.place) for run in runs]
    return Table(columns, rows)


def _whole(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"
