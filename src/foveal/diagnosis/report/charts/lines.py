"""Curves over steps, recall or scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from foveal.diagnosis.report.charts.scale import Scale, fit_scale, short
from foveal.diagnosis.report.charts.svg import Figure, Key, drawing, element, series_style, text

WIDTH, HEIGHT = 380.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 10.0, 36.0
MOST_POINTS, MOST_TIPS = 600, 40
LOG_SPREAD = 30.0
"""Largest to median, from which an axis goes by powers of ten: one huge value would flatten all others."""

Bounds = tuple[float | None, float | None]


class Line(NamedTuple):
    """One curve. A value that is not finite breaks it."""

    label: str
    points: Sequence[tuple[float, float]]
    place: int
    """Number of its colour."""
    dashed: bool = False

    @property
    def style(self) -> str:
        return series_style(self.place) + (" dash" if self.dashed else "")


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    y_bounds: Bounds = (None, None),
    x_bounds: Bounds = (None, None),
    *,
    log: bool | None = False,
    diagonal: bool = False,
    marks: Sequence[tuple[float, float, str, int]] = (),
    note: str = "",
) -> Figure:
    """Curves in one frame.

    log: by powers of ten upwards; None: where the values ask for it. diagonal: draw y = x.
    marks: (x, y, words, colour) of points to be ringed.
    """
    shown = [line._replace(points=thin(line.points)) for line in lines]
    finite = [(x, y) for line in shown for x, y in line.points if math.isfinite(y)]
    values = [y for _, y in finite]
    if log is None:
        log = asks_for_log(values)
    log = log and min(values, default=0.0) > 0
    across = fit_x([x for x, _ in finite], x_bounds)
    upward = fit_scale(values, HEIGHT - BOTTOM, TOP, (None, None) if log else y_bounds, log)
    parts = [frame(across, upward, x_label)]
    if diagonal:
        start, end = (f"{across(end):.1f} {upward(end):.1f}" for end in (across.low, across.high))
        parts.append(element("path", class_="guide", d=f"M{start}L{end}"))
    for line in shown:
        parts += _curve(line, across, upward)
    for x, y, words, place in marks:
        ring = element("title", words)
        parts.append(
            element("circle", ring, class_=f"ring {series_style(place)}", cx=across(x), cy=upward(y), r=4.5)
        )
    names = ", ".join(line.label for line in shown)
    last = "; ".join(f"{line.label} ends at {short(line.points[-1][1])}" for line in shown[:8] if line.points)
    description = f"{title} over {x_label}: {names}. {last}"
    keys = tuple(Key(line.label, f"line {line.style}") for line in shown)
    more = " Logarithmic scale." if log else ""
    if any(sum(math.isfinite(y) for _, y in line.points) == 1 for line in shown):
        more += " A dot: a single value."
    return Figure(
        title,
        drawing(WIDTH, HEIGHT, description, *parts),
        keys if len(keys) > 1 else (),
        (note + more).strip(),
    )


def asks_for_log(values: Sequence[float]) -> bool:
    """Whether one value would flatten the rest on a linear axis."""
    if len(values) < 3 or min(values) <= 0:
        return False
    return max(values) > LOG_SPREAD * sorted(values)[len(values) // 2]


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 600 of them, the first and the last among these; of each stretch the extreme values stay."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stretch = math.ceil(len(points) / (MOST_POINTS // 2 - 1))
    kept = [points[0]]
    for start in range(1, len(points) - 1, stretch):
        part = points[start : min(start + stretch, len(points) - 1)]
        finite = [point for point in part if math.isfinite(point[1])] or [part[0]]
        ends = {min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def fit_x(values: Sequence[float], bounds: Bounds) -> Scale:
    """The scale across: exactly from the first to the last value."""
    low = min(values, default=0.0) if bounds[0] is None else bounds[0]
    high = max(values, default=1.0) if bounds[1] is None else bounds[1]
    if high <= low:
        low, high = low - 1, high + 1
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def frame(across: Scale, upward: Scale, x_label: str, x_ticks: bool = True) -> Markup:
    """Grid lines, the numbers at them, and what the numbers across are."""
    parts = []
    for value in upward.ticks():
        y = upward(value)
        parts.append(element("path", class_="grid", d=f"M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"))
        parts.append(text(LEFT - 6, y + 3.5, short(value), "tick y", "end"))
    bottom = HEIGHT - BOTTOM
    for value in across.ticks() if x_ticks else ():
        x = across(value)
        parts.append(element("path", class_="axis", d=f"M{x:.1f} {bottom:g}v4"))
        parts.append(text(x, bottom + 15, short(value), "tick x", _anchor(x)))
    parts.append(element("path", class_="axis", d=f"M{LEFT:g} {bottom:g}H{WIDTH - RIGHT:g}"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, "label", "middle"))
    return element("g", *parts)


def _anchor(x: float) -> str:
    return "end" if x > WIDTH - RIGHT - 8 else "middle"


def _curve(line: Line, across: Scale, upward: Scale) -> list[Markup]:
    path, pen_down = [], False
    for x, y in line.points:
        if not math.isfinite(y):
            pen_down = False
            continue
        path.append(f"{'L' if pen_down else 'M'}{across(x):.1f} {upward(y):.1f}")
        pen_down = True
    parts = [element("path", class_=f"line {line.style}", d="".join(path))] if path else []
    every = max(1, math.ceil(len(line.points) / MOST_TIPS))
    single = len(path) == 1
    for number, (x, y) in enumerate(line.points):
        last = number == len(line.points) - 1
        if math.isfinite(y) and (number % every == 0 or last):
            tip = element("title", f"{line.label}: {short(y)} at {short(x)}")
            parts.append(
                element(
                    "circle",
                    tip,
                    class_=f"{'dot' if single else 'tip'} {line.style}",
                    cx=across(x),
                    cy=upward(y),
                    r=3.5 if single else 6,
                )
            )
            if single:
                left = across(x) > WIDTH - RIGHT - 40
                parts.append(
                    text(across(x) + (-7 if left else 7), upward(y) - 6, short(y), "value",
                         "end" if left else "start")
                )  # fmt: skip
    return parts
