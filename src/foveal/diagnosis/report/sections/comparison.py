"""Several runs side by side: what came out, and what was set differently."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import (
    MISSING,
    Block,
    Cell,
    Column,
    Note,
    Row,
    Section,
    Table,
    points,
    range_words,
)
from foveal.diagnosis.report.gather import Run, number
from foveal.diagnosis.report.measured import by_data, classes, comparable, interval, paired
from foveal.diagnosis.report.sections.configuration import settings_table

LEAD = "The runs beside one another; each keeps its colour on the whole page."


def comparison(runs: Sequence[Run]) -> Section | None:
    """None for a single run."""
    if len(runs) < 2:
        return None
    blocks: list[Block] = [*_apart(runs), _results(runs), settings_table(runs)]
    return Section("comparison", "Comparison", LEAD, blocks)


def _apart(runs: Sequence[Run]) -> list[Block]:
    """Which runs were measured on which data, where these differ."""
    groups = by_data(runs)
    if len(groups) == 1:
        return []
    words = "; ".join(f"{', '.join(run.name for run in group)} ({_data_words(group)})" for group in groups)
    text = f"Measured on {len(groups)} different sets of pictures: {words}."
    more = (
        "Their values do not compare, so each set has charts of its own below, and no run is called the best."
    )
    return [Note(f"{text} {more}", "warning")]


def _data_words(group: Sequence[Run]) -> str:
    counts = {number(run.evaluation.get("pictures")) for run in group} - {None}
    pictures = f"{next(iter(counts)):,.0f} pictures" if len(counts) == 1 else "not evaluated"
    names = [row.name for row in classes(group[0])]
    few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{pictures} of {few}" if few else pictures


def _results(runs: Sequence[Run]) -> Table:
    scores = [run.metric("AP") for run in runs]
    fair = comparable(runs)
    best = max((score for score in scores if score is not None), default=None) if fair else None
    rows: list[Row] = []
    leader = None if best is None else runs[scores.index(best)]
    for place, run in enumerate(runs):
        score = scores[place]
        gap = None if leader is None or run is leader else paired(leader, run)
        behind = "" if score is None or best is None or score == best else f"{100 * (score - best):.1f}"
        steps = max((curve[-1][0] for curve in run.curves.values() if curve), default=None)
        rows.append(
            [
                Cell(run.name, run=place),
                Cell(points(score), score is not None and score == best, range_words(interval(run, "AP"))),
                *([Cell(behind or MISSING, note=range_words(gap))] if fair else []),
                Cell(points(run.metric("AP50")), note=range_words(interval(run, "AP50"))),
                points(run.metric("AP75")),
                points(run.metric("AR100")),
                MISSING if steps is None else f"{steps:,}",
                MISSING if run.weights is None else f"{sum(run.weights.parameters.values()) / 1e6:.1f} M",
            ]
        )
    columns = [
        Column("run", numeric=False),
        Column("AP"),
        *([Column("to the best")] if fair else []),
        Column("AP50"),
        Column("AP75"),
        Column("AR100"),
        Column("steps"),
        Column("parameters"),
    ]
    caption = "Results, of 100; small: 95 % interval, that of a difference on the same pictures"
    return Table(columns, rows, caption=caption)
