"""A table of counts as coloured cells: the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.charts.scale import short
from foveal.diagnosis.report.charts.svg import Figure, drawing, element, text

LEFT, TOP, PAD = 112.0, 84.0, 8.0
MOST_LETTERS = 15
STRONGEST = 0.8
"""Opacity of a full cell: its number stays readable in both schemes."""


def heat_map(
    title: str,
    across: Sequence[str],
    down: Sequence[str],
    counts: Sequence[Sequence[float]],
    x_label: str,
    y_label: str,
    note: str = "",
) -> Figure:
    """Counts [down][across]; the colour of a cell is its share of its line."""
    cell = 46.0 if len(across) <= 8 else 30.0 if len(across) <= 24 else 16.0
    width, height = LEFT + cell * len(across) + PAD + 40, TOP + cell * len(down) + 22
    parts = [
        text(LEFT, 12, f"{x_label} →", "label"),
        text(PAD, TOP - 8, f"{y_label} ↓", "label"),
    ]
    for place, name in enumerate(across):
        x = LEFT + (place + 0.5) * cell
        label = text(0, 0, name, "name", most=12)
        parts.append(element("g", label, transform=f"translate({x + 3:.1f} {TOP - 6:g}) rotate(-45)"))
    for line, name in enumerate(down):
        y = TOP + line * cell
        parts.append(text(LEFT - 8, y + cell / 2 + 4, name, "name", "end", most=MOST_LETTERS))
        total = sum(counts[line]) or 1.0
        for place, count in enumerate(counts[line]):
            tip = f"{name} → {across[place]}: {count:g} of {total:g} ({count / total:.0%})"
            share = count / total
            x = LEFT + place * cell
            parts.append(
                element(
                    "rect",
                    element("title", tip),
                    class_="heat",
                    x=x + 0.5,
                    y=y + 0.5,
                    width=cell - 1,
                    height=cell - 1,
                    rx=2,
                    fill_opacity=round(STRONGEST * share, 3),
                )
            )
            if count and cell >= 30:
                parts.append(text(x + cell / 2, y + cell / 2 + 4, short(count), "cell", "middle"))
    most = sorted(
        (
            (count, down[i], across[j])
            for i, row in enumerate(counts)
            for j, count in enumerate(row)
            if i != j
        ),
        reverse=True,
    )[:3]
    description = f"{title}: {y_label} down, {x_label} across. Most off the diagonal: " + "; ".join(
        f"{name} as {other}: {count:g}" for count, name, other in most
    )
    return Figure(
        title, drawing(width, height, description, *parts, style="natural"), (), note, wide=len(across) > 6
    )
