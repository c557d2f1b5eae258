"""Bars and ranges from left to right, and histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from foveal.diagnosis.report.charts.lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, frame
from foveal.diagnosis.report.charts.scale import Scale, fit_scale, short
from foveal.diagnosis.report.charts.svg import Figure, Key, drawing, element, series_style, text

LABELS, NUMBERS = 140.0, 58.0
THICK, GAP = 13.0, 11.0
MOST_LETTERS = 20


class Bar(NamedTuple):
    """One line of a bar chart: a value per series, None where there is none."""

    label: str
    values: Sequence[float | None]
    ranges: Sequence[tuple[float, float] | None] = ()
    """Interval of each value."""
    tip: str = ""


def bar_chart(
    title: str,
    bars: Sequence[Bar],
    series: Sequence[str],
    unit: str = "",
    digits: int = 1,
    high: float | None = None,
    note: str = "",
    colours: Sequence[int] = (),
) -> Figure:
    """Bars from zero, a colour per series (the first ones, where none are named), the number beside each.

    ``ranges`` are whiskers.
    """
    styles = [series_style(place) for place in colours or range(len(series))]
    numbers = [value for bar in bars for value in bar.values if value is not None]
    ends = [limit for bar in bars for span in bar.ranges if span is not None for limit in span]
    labels = min(LABELS, 22 + 6.2 * max((min(len(bar.label), MOST_LETTERS) for bar in bars), default=0))
    across = fit_scale([0.0, *numbers, *ends], labels, WIDTH - NUMBERS, (None, high))
    parts: list[Markup] = []
    top = TOP
    for bar in bars:
        # A series that has no such bar takes no room, unless none has.
        shown = [place for place, value in enumerate(bar.values) if value is not None] or [0]
        middle = top + len(shown) * THICK / 2
        parts.append(text(labels - 8, middle + 4, bar.label, "name", "end", most=MOST_LETTERS))
        for line, place in enumerate(shown):
            name = f"{bar.label}, {series[place]}" if len(series) > 1 else bar.label
            words = lambda v: f"{v:.{digits}f}{unit}"  # noqa: E731
            parts += _bar(bar, place, top + line * THICK, across, name, styles[place], words)
        top += len(shown) * THICK + GAP
    height = top + 4
    parts.insert(0, element("path", class_="axis", d=f"M{across(0):.1f} {TOP - 4:g}V{height - 6:.1f}"))
    description = f"{title}: " + "; ".join(
        f"{bar.label} " + " / ".join("none" if v is None else f"{v:.{digits}f}{unit}" for v in bar.values)
        for bar in bars
    )
    keys = tuple(Key(name, f"bar {style}") for name, style in zip(series, styles, strict=True))
    return Figure(title, drawing(WIDTH, height, description, *parts), keys if len(keys) > 1 else (), note)


def _bar(
    bar: Bar, place: int, top: float, across: Scale, name: str, style: str, words: Callable[[float], str]
) -> list[Markup]:
    """One bar with its whisker and its number."""
    value = bar.values[place] if bar.values else None
    middle = top + THICK / 2
    if value is None:
        return [text(across(0) + 6, middle + 4, "-", "value")]
    span = bar.ranges[place] if place < len(bar.ranges) else None
    tip = f"{name}: {words(value)}"
    if span is not None:
        tip += f", 95 % interval {words(span[0])} to {words(span[1])}"
    if bar.tip:
        tip += f". {bar.tip}"
    start, end = sorted((across(0), across(value)))
    shape = {"x": start, "y": top + 1, "width": max(end - start, 0.5), "height": THICK - 2, "rx": 2}
    parts = [element("rect", element("title", tip), class_=f"bar {style}", **shape)]
    edge = end
    if span is not None:
        low, high = across(span[0]), across(span[1])
        edge = max(edge, high)
        ends = "".join(f"M{x:.1f} {middle - 3:.1f}v6" for x in (low, high))
        path = f"M{low:.1f} {middle:.1f}H{high:.1f}{ends}"
        parts += [element("path", class_=name, d=path) for name in ("halo", "whisker")]
    return [*parts, text(edge + 6, middle + 4, words(value), "value")]


class Steps(NamedTuple):
    """One histogram: how much falls between neighbouring edges."""

    label: str
    counts: Sequence[float]
    place: int


def histogram(
    title: str, edges: Sequence[str], steps: Sequence[Steps], x_label: str, y_unit: str = "", note: str = ""
) -> Figure:
    """Counts between edges; several series are outlined over one another. edges: one more than counts."""
    most = max((count for one in steps for count in one.counts), default=1.0)
    upward = fit_scale([0.0, most], HEIGHT - BOTTOM, TOP, (0.0, None))
    bins = len(edges) - 1
    across = Scale(0.0, float(bins), LEFT, WIDTH - RIGHT)
    parts = [frame(across, upward, x_label, x_ticks=False)]
    for place, edge in enumerate(edges):
        if place % max(1, round(bins / 8)) == 0:
            parts.append(text(across(place), HEIGHT - BOTTOM + 15, edge, "tick x", "middle"))
    for one in steps:
        style = series_style(one.place)
        outline = f"M{across(0):.1f} {upward(0):.1f}"
        for place, count in enumerate(one.counts):
            outline += f"V{upward(count):.1f}H{across(place + 1):.1f}"
        parts.append(element("path", class_=f"area {style}", d=f"{outline}V{upward(0):.1f}Z"))
        parts.append(element("path", class_=f"line {style}", d=f"{outline}V{upward(0):.1f}"))
    for place in range(bins):
        words = "; ".join(f"{one.label}: {short(one.counts[place])}{y_unit}" for one in steps)
        tip = element("title", f"{edges[place]} to {edges[place + 1]}: {words}")
        parts.append(
            element(
                "rect",
                tip,
                class_="hover",
                x=across(place),
                y=TOP,
                width=across(place + 1) - across(place),
                height=HEIGHT - BOTTOM - TOP,
            )
        )
    description = f"{title} by {x_label}, for {', '.join(one.label for one in steps)}"
    keys = tuple(Key(one.label, f"line {series_style(one.place)}") for one in steps)
    return Figure(title, drawing(WIDTH, HEIGHT, description, *parts), keys if len(keys) > 1 else (), note)
