"""The lab's figures as Markdown and as a picture, beside the paper's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from foveal.lab.settings import PaperTable, Setting
from foveal.lab.verdict import LEAST_SEEDS, Pair, Row, count, pairs_of

OURS, PAPER, INK, GRID = "#0b6e99", "#d9730d", "#37352f", "#e3e2e0"
NOTE = f"""\
AP x 100. Ours: the mean over the seeds, and the smallest and largest of them; a diverged run counts 0. Two
settings are ordered where these ranges lie apart and each has {LEAST_SEEDS} seeds or more; else the pair is
undecided. (Of two equally good settings, the ranges of three seeds lie apart by chance in one case of ten.)
"""


def markdown(
    tables: list[PaperTable], rows: Mapping[str, Row], settings: Mapping[str, Setting], diverged: set[str]
) -> str:
    """A section per table of the paper: its rows, how many orders agree, and every pair.

    diverged: settings of which the paper says so.
    """
    parts = [NOTE]
    for table in worth_showing(tables, rows):
        measured = [name for name in table.rows if name in rows]
        parts.append(f"## {table.title}\n")
        parts.append(_rows(table, [rows[name] for name in measured], settings, diverged))
        pairs = pairs_of(table, dict(rows))
        if pairs:
            parts += [f"{_summary(pairs)}\n", _pairs(pairs)]
    return "\n".join(parts)


def worth_showing(tables: list[PaperTable], rows: Mapping[str, Row]) -> list[PaperTable]:
    """Tables with two measured rows or more, that have something to compare; else those with one."""
    counts = [sum(name in rows for name in table.rows) for table in tables]
    least = min(2, max(counts, default=0))
    return [table for table, found in zip(tables, counts, strict=True) if found >= max(least, 1)]


def _rows(table: PaperTable, rows: list[Row], settings: Mapping[str, Setting], diverged: set[str]) -> str:
    lines = [
        "| setting | | paper AP | our AP | smallest - largest | our AP50 | seeds | s a run |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        paper = "diverged" if row.name in diverged else _number(table.rows[row.name])
        seeds = f"{len(row.aps)}" + (f", {row.diverged} diverged" if row.diverged else "")
        ours = "diverged" if row.diverged == len(row.aps) else f"{row.mean:.1f}"
        lines.append(
            f"| {row.name} | {settings[row.name].label} | {paper} | {ours} | {row.low:.1f} - {row.high:.1f} "
            f"| {sum(row.ap50s) / len(row.ap50s):.1f} | {seeds} | {row.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _summary(pairs: list[Pair]) -> str:
    found = count(pairs)
    ordered = len(pairs) - found["no order in the paper"]
    return (
        f"Of {ordered} pairs that the paper orders, {found['agrees']} have its order here, "
        f"{found['disagrees']} the other, and {found['undecided']} are undecided."
    )


def _pairs(pairs: list[Pair]) -> str:
    lines = ["| second against first | paper | ours | order |", "| --- | --- | --- | --- |"]
    for pair in pairs:
        paper = "-" if pair.paper is None else f"{pair.paper:+.1f}"
        verdict = f"**{pair.verdict}**" if pair.verdict == "disagrees" else pair.verdict
        if pair.verdict == "no order in the paper":
            verdict += f"; here {'decided' if pair.decided else 'undecided'}"
        lines.append(f"| {pair.second} - {pair.first} | {paper} | {pair.ours:+z.1f} | {verdict} |")
    return "\n".join(lines) + "\n"


def draw(tables: list[PaperTable], rows: Mapping[str, Row], diverged: set[str]) -> bytes:
    """A PNG: a line of panels per table, our seeds on the left, the paper's figures on the right."""
    from matplotlib.figure import Figure

    shown = worth_showing(tables, rows)
    heights = [sum(name in rows for name in table.rows) + 1.5 for table in shown]
    figure = Figure(figsize=(9.5, 0.36 * sum(heights)), dpi=110, layout="constrained", facecolor="white")
    panels = figure.subplots(
        len(shown), 2, squeeze=False, sharey="row", gridspec_kw={"height_ratios": heights}
    )
    for line, table in zip(panels, shown, strict=True):
        names = [name for name in table.rows if name in rows]
        _ours(line[0], [rows[name] for name in names])
        _paper(line[1], [table.rows[name] for name in names], [name in diverged for name in names])
        line[0].set_yticks(range(len(names)), names)
        line[0].set_ylim(len(names) - 0.5, -0.5)
        line[0].set_title(table.title, fontsize=9, color=INK, loc="left")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _ours(panel: Any, rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        panel.plot([row.low, row.high], [place, place], "-", color=OURS, lw=2, alpha=0.5)
        panel.plot(row.aps, [place] * len(row.aps), "o", color=OURS, ms=3)
        panel.plot([row.mean], [place], "|", color=OURS, ms=12, mew=2)
    _style(panel, "our AP: each seed, mean, range")


def _paper(panel: Any, values: list[float | None], diverged: list[bool]) -> None:
    # A zero for a run that diverged would squeeze the figures that differ.
    known = [value for value, lost in zip(values, diverged, strict=True) if value is not None and not lost]
    for place, (value, lost) in enumerate(zip(values, diverged, strict=True)):
        if lost:
            panel.text(min(known, default=0), place, "diverged", color=PAPER, fontsize=8, va="center")
        elif value is not None:
            panel.plot([value], [place], "o", color=PAPER, ms=5)
    _style(panel, "the paper's AP, COCO")


def _style(panel: Any, label: str) -> None:
    panel.set_xlabel(label, color=INK, fontsize=8)
    panel.grid(color=GRID, lw=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, labelsize=8)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
