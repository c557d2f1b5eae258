"""Which boxes are found: by their size, and by how many share a picture."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import MISSING, Block, Column, Figures, Fold, Row, Section, Table, points
from foveal.diagnosis.report.charts.bars import Bar, bar_chart
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run, at, number, rows

LEAD = "Small and crowded objects are the hard ones: the share of boxes that is found (IoU 0.5)."
KINDS = (
    ("recall_by_size", "Found, by size", "Side (square root of the area) in the picture's own pixels."),
    ("recall_by_boxes_in_picture", "Found, by boxes in the picture", ""),
)


def sizes(runs: Sequence[Run]) -> Section | None:
    """None where no run has such a part."""
    charts = [chart for key, title, note in KINDS if (chart := _chart(runs, key, title, note)) is not None]
    tables = [table for run in runs if (table := _by_class(run, len(runs) > 1)) is not None]
    if not charts and not tables:
        return None
    blocks: list[Block] = [Figures(charts)] if charts else []
    if len(runs) == 1:
        blocks += tables
    else:
        blocks.append(Fold("AP by class and size", tables))
    return Section("sizes", "Sizes and crowds", LEAD, blocks)


def _chart(runs: Sequence[Run], key: str, title: str, note: str) -> Figure | None:
    tables = [{_bin(row): row for row in rows(at(run.evaluation, "by_size", key))} for run in runs]
    bins = sorted({name for table in tables for name in table})
    if not bins:
        return None
    colours: list[int] = []
    if len(runs) == 1:
        series = ["by a detection over its threshold", "by a detection of any score"]
        bars = [
            Bar(_words(*span), [_percent(row.get(name)) for name in ("kept", "any_score")], (), _boxes(row))
            for span, row in sorted(tables[0].items())
        ]
    else:
        series, colours = [run.name for run in runs], [run.place for run in runs]
        bars = [
            Bar(_words(*one), [_percent(table.get(one, {}).get("kept")) for table in tables]) for one in bins
        ]
        note = f"By a detection over its threshold. {note}".strip()
    return bar_chart(title, bars, series, " %", digits=0, high=100.0, note=note, colours=colours)


def _by_class(run: Run, several: bool) -> Table | None:
    lines: list[Row] = []
    for row in rows(at(run.evaluation, "by_size", "per_class")):
        boxes = row.get("boxes")
        counts = (
            [number(value) for value in boxes] if isinstance(boxes, list) and len(boxes) == 3 else [None] * 3
        )
        cells = [str(row.get("name", ""))]
        for name, count in zip(("APs", "APm", "APl"), counts, strict=True):
            cells += [points(number(row.get(name))), MISSING if count is None else f"{count:,.0f}"]
        lines.append(cells)
    if not lines:
        return None
    columns = [Column("class", numeric=False)]
    for name in ("small", "medium", "large"):
        columns += [Column(f"AP {name}"), Column("boxes")]
    caption = "AP by class and size (under 32 px, to 96 px, over)" + (f": {run.name}" if several else "")
    return Table(columns, lines, caption)


def _bin(row: dict[str, object]) -> tuple[float, float]:
    high = number(row.get("high"))
    return number(row.get("low")) or 0.0, float("inf") if high is None else high


def _words(low: float, high: float) -> str:
    if high == float("inf"):
        return f"{low:g} and more"
    return f"{low:g}" if high == low + 1 else f"{low:g} to {high - 1 if low >= 1 and low < 16 else high:g}"


def _boxes(row: dict[str, object]) -> str:
    return f"{number(row.get('boxes')) or 0:,.0f} boxes"


def _percent(value: object) -> float | None:
    share = number(value)
    return None if share is None else 100 * share
