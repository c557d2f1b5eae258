"""metrics.csv as curves, whatever a crash, a resume or a diverged loss has left in it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from foveal.diagnosis.report.plain import clean

Points = list[tuple[int, float]]
KEYS = ("step", "epoch")


def read_metrics(file: Path) -> dict[str, Points]:
    """Column -> its (step, value) by rising step; values may be NaN or infinite, empty cells are left out.

    A row that goes back to an earlier step (a resumed run) takes the place of what had been written from there
    on. Rows that were cut off are read as far as their numbers go. Empty where there is no such file.
    """
    curves: dict[str, Points] = {}
    for row in _rows(file):
        try:
            step = int(float(row.get("step") or ""))
        except (ValueError, OverflowError):
            continue
        for name, text in row.items():
            value = _number(text) if name not in KEYS else None
            if value is None:
                continue
            points = curves.setdefault(name, [])
            while points and points[-1][0] >= step:
                points.pop()
            points.append((step, value))
    return curves


def _rows(file: Path) -> Iterator[dict[str, str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    lines = text.replace("\0", "").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        # Cut off while it was written: its last number may be the start of a longer one.
        lines[-1] = lines[-1].rpartition(",")[0]
    try:
        reader = csv.reader(StringIO("".join(lines)))
        names = [str(clean(name)).strip() for name in next(reader, [])]
        for cells in reader:
            yield dict(zip(names, cells, strict=False))
    except csv.Error:  # a field longer than any number
        return


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def finite(points: Points) -> Points:
    """Those with a finite value."""
    return [(step, value) for step, value in points if math.isfinite(value)]
