"""Growth as one picture and one table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from foveal.bench.growth import Series

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0")
INK, GRID = "#37352f", "#e3e2e0"
WORSE = 1.1
"""Exponents above this are marked: more than linear, beyond what a fit leaves open."""
HEADING = """\
# How time and memory grow

`foveal bench growth -o docs` measured this; dotted lines are linear.

![Time and memory against picture area, boxes, classes and pictures](growth.png)
"""
NOTE = (
    "Exponents are slopes of a line fitted to the logarithms over the upper half of the range; 1 is linear. Time "
    "is process CPU time; memory is the peak above what was there before."
)


def markdown(series: Sequence[Series]) -> str:
    """One line per series: its range, and its exponents."""
    lines = [
        "| what grows | work | from - to | time | time goes as size^ | peak memory | memory as size^ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in series:
        first, last = one.points[0], one.points[-1]
        lines.append(
            f"| {one.axis} | {one.name} | {first.size:,.0f} - {last.size:,.0f} "
            f"| {_seconds(first.seconds)} - {_seconds(last.seconds)} | {_exponent(one.time_exponent)} "
            f"| {_bytes(first.bytes)} - {_bytes(last.bytes)} | {_exponent(one.memory_exponent)} |"
        )
    return "\n".join(lines) + "\n"


def draw(series: Sequence[Series]) -> bytes:
    """A PNG: a column for everything that grows, time above memory, both axes logarithmic."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(one.axis for one in series))
    figure = Figure(figsize=(4.2 * len(axes), 8), dpi=110, layout="constrained", facecolor="white")
    panels = figure.subplots(2, len(axes), squeeze=False)
    for column, axis in enumerate(axes):
        mine = [one for one in series if one.axis == axis]
        _panel(panels[0][column], mine, "time", axis, column == 0)
        _panel(panels[1][column], mine, "memory", axis, column == 0)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _panel(panel: Any, series: Sequence[Series], kind: str, axis: str, leftmost: bool) -> None:
    everything = []
    for colour, one in zip(COLOURS, series, strict=False):
        sizes = [point.size for point in one.points]
        values = [point.seconds if kind == "time" else max(point.bytes, 1e4) / 1e6 for point in one.points]
        power = one.time_exponent if kind == "time" else one.memory_exponent
        panel.plot(sizes, values, "o-", color=colour, ms=4, lw=1.6, label=f"{one.name}: $n^{{{power:.2f}}}$")
        linear = [values[-1] * size / sizes[-1] for size in sizes]
        panel.plot(sizes, linear, ":", color=colour, lw=1, alpha=0.7)
        everything += values
    panel.set_xscale("log")
    panel.set_yscale("log")
    # The legend stands above the lines, whatever their range.
    low, high = min(everything) / 2, max(everything) * 2
    panel.set_ylim(low, high * (high / low) ** (0.09 * len(series)))
    panel.set_xlabel(f"n: {axis}", color=INK)
    if leftmost:
        what = "CPU time, s" if kind == "time" else "peak memory, MB"
        panel.set_ylabel(f"{what} (dotted: linear)", color=INK)
    panel.grid(color=GRID, lw=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, which="both")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=INK)


def _exponent(value: float) -> str:
    return f"{value:z.2f}" if value <= WORSE else f"**{value:.2f}**"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.3g} GB" if value >= 1e9 else f"{value / 1e6:.3g} MB"
