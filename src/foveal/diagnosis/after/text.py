"""An analysis on the terminal: what the errors cost in a few lines, and the tables behind it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.after.findings import findings
from foveal.metrics.errors import ERROR_KINDS
from foveal.metrics.intervals import Interval

BACKGROUND = "(nothing)"
_ROWS = 20
"""Classes that a matrix on a terminal can hold."""


def interval_text(interval: Interval) -> str:
    """``0.544, 95 %: 0.519 to 0.576``."""
    return f"{interval.value:.3f}, 95 %: {interval.low:.3f} to {interval.high:.3f}"


def error_lines(result: Analysis) -> list[str]:
    """What each kind of error costs, and what usually helps against the largest."""
    found = findings(result)
    priced = [row for row in found if row.rule.startswith("errors_")]
    lines = [row.message for row in found if row.rule == "nothing_kept"]
    if found and found[0].rule == "hardly_learned":
        lines = [found[0].message, *lines, found[0].fix]
    elif priced:
        lines.append("what AP50 would gain without one kind of error (TIDE), in points of 100:")
        lines += [f"  {row.message}" for row in priced]
        kind = priced[0].rule.removeprefix("errors_")
        lines.append(f"the largest is {kind}; what usually helps: {priced[0].fix}")
    return lines + [row.message for row in found if row.rule == "precision_unreached"]


def all_lines(result: Analysis) -> list[str]:
    """Everything that was found, each with what to do."""
    return [f"{row.severity}: {row.message}\n  {row.fix}" for row in findings(result)]


def detail_tables(result: Analysis) -> list[Table]:
    """Error split, confusion matrix and thresholds by class, and calibration."""
    return [
        _split_table(result),
        *_confusion_table(result),
        _threshold_table(result),
        _calibration_table(result),
    ]


def _split_table(result: Analysis) -> Table:
    split = result.errors
    table = _table("points of AP50 by kind of error; prices do not add up", "class", *ERROR_KINDS)
    table.add_row(
        "all", *(f"{split.points[kind]:.1f}" for kind in ERROR_KINDS), style="bold", end_section=True
    )
    for row in split.per_class:
        cells = (f"{row.points[kind]:.1f}" if row.points else "-" for kind in ERROR_KINDS)
        table.add_row(escape(row.name), *cells)
    totals = split.false_positive, split.false_negative
    table.caption = f"all wrong detections together {totals[0]:.1f}, all boxes not found {totals[1]:.1f}"
    return table


def _confusion_table(result: Analysis) -> list[Table]:
    names = result.confusion.names
    if len(names) > _ROWS:
        return []
    title = "boxes (rows) and detections over the thresholds (columns) at IoU 0.5"
    table = _table(title, "", *(escape(name) for name in names), "not found")
    for name, counts in zip([*names, BACKGROUND], result.confusion.counts.tolist(), strict=True):
        cells = [str(count) if count else "." for count in counts]
        table.add_row(escape(name), *(cells if name != BACKGROUND else [*cells[:-1], ""]))
    return [table]


def _threshold_table(result: Analysis) -> Table:
    title = f"at the thresholds ({result.rule})"
    table = _table(title, "class", "threshold", "precision", "recall", "calibration error")
    names = result.truth.classes.names
    for label, (name, scores) in enumerate(zip(names, result.class_calibration, strict=True)):
        threshold = result.thresholds.values.get(name)
        precision, recall = result.confusion.precision(label), result.confusion.recall(label)
        cells = (
            "-" if cell is None else f"{cell:.3f}" for cell in (threshold, precision, recall, scores.error)
        )
        table.add_row(escape(name), *cells)
    return table


def _calibration_table(result: Analysis) -> Table:
    error = result.calibration.error
    title = "scores and the share that is right at IoU 0.5"
    table = _table(title, "score", "detections", "mean score", "right")
    for row in result.calibration.bins:
        if row.detections and row.score is not None and row.correct is not None:
            cells = (str(row.detections), f"{row.score:.3f}", f"{row.correct:.3f}")
            table.add_row(f"{row.low:.1f} to {row.high:.1f}", *cells)
    table.caption = "no detections" if error is None else f"expected calibration error {error:.3f}"
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column(first, min_width=12)
    for column in columns:
        table.add_column(column, justify="right")
    return table
