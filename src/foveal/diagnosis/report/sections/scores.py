"""What a score is worth: precision and recall at every threshold, and whether scores are probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import Block, Figures, Fold, Heading, Note, Section
from foveal.diagnosis.report.charts.lines import Line, line_chart
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run, at, number, rows
from foveal.diagnosis.report.sections.overview import EVALUATE

LEAD = "What changes with the score from which a detection counts (IoU 0.5)."
MOST_CLASSES = 8
"""Classes in one frame; of more, those with the most boxes."""


def scores(runs: Sequence[Run]) -> Section:
    """Precision over recall, F1 over the threshold, reliability."""
    figures = _one_run(runs[0]) if len(runs) == 1 else _reliabilities(runs)
    blocks: list[Block] = [Figures(figures)] if figures else []
    if len(runs) > 1:
        blocks += _by_class(runs)
    if not blocks:
        words = "No curves in this run: evaluating it with this Foveal writes them."
        return Section("scores", "Scores and thresholds", LEAD, [Note(words, "absent", EVALUATE)])
    if len(runs) == 1 and len(rows(runs[0].evaluation.get("curves"))) > MOST_CLASSES:
        blocks.append(Note(f"Shown are the {MOST_CLASSES} classes with the most boxes."))
    rule = at(runs[0].evaluation, "thresholds", "rule")
    if len(runs) == 1 and isinstance(rule, str):
        words = {"f1": "where F1 is best", "stored": "that the checkpoint brought"}.get(
            rule, f"by the rule {rule}"
        )
        blocks.append(Note(f"Rings: the thresholds {words}; foveal predict goes by those in the checkpoint."))
    return Section("scores", "Scores and thresholds", LEAD, blocks)


def _one_run(run: Run) -> list[Figure]:
    found = [row for row in rows(run.evaluation.get("curves")) if curve(row, "recall", "precision")]
    found = sorted(found, key=lambda row: -(number(row.get("boxes")) or 0))[:MOST_CLASSES]
    order = [str(row.get("name")) for row in rows(run.evaluation.get("curves"))]
    names = [str(row.get("name")) for row in found]
    places = {name: place for place, name in enumerate(sorted(names, key=order.index))}
    found.sort(key=lambda row: places[str(row.get("name"))])
    charts = []
    if found:
        precision = [
            Line(str(row["name"]), curve(row, "recall", "precision"), places[str(row["name"])])
            for row in found
        ]
        f1 = [
            Line(str(row["name"]), curve(row, "threshold", "f1"), places[str(row["name"])]) for row in found
        ]
        marks = [mark for line in f1 if (mark := _ring(run, line)) is not None]
        charts = [
            line_chart("Precision over recall", precision, "recall", (0.0, 1.0), (0.0, 1.0)),
            line_chart("F1 over the threshold", f1, "score from which a detection counts", (0.0, 1.0), (0.0, 1.0),
                       marks=marks),
        ]  # fmt: skip
    return [*charts, *_reliabilities([run])]


def _ring(run: Run, line: Line) -> tuple[float, float, str, int] | None:
    """The class's threshold on its F1 curve."""
    threshold = number(at(run.evaluation, "thresholds", "values", line.label))
    if threshold is None:
        return None
    above = [point for point in line.points if point[0] >= threshold]
    if not above:
        return None
    y = min(above)[1]
    return threshold, y, f"{line.label}: threshold {threshold:.2f}, F1 {y:.2f}", line.place


def _reliabilities(runs: Sequence[Run]) -> list[Figure]:
    """Share that is right over the score; on the diagonal a score is a probability."""
    lines, errors = [], []
    for run in runs:
        bins = rows(at(run.evaluation, "calibration", "bins"))
        pairs = [(number(row.get("score")), number(row.get("correct"))) for row in bins]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        if points:
            lines.append(Line(run.name if len(runs) > 1 else "all classes", points, run.place))
            error = number(at(run.evaluation, "calibration", "error"))
            if error is not None:
                errors.append(f"{run.name} {error:.2f}" if len(runs) > 1 else f"{error:.2f}")
    if not lines:
        return []
    note = "On the broken line a score is the share that is right; under it scores are too high."
    if errors:
        note += f" Expected calibration error: {', '.join(errors)}."
    return [line_chart("Calibration", lines, "score", (0.0, 1.0), (0.0, 1.0), diagonal=True, note=note)]


def _by_class(runs: Sequence[Run]) -> list[Block]:
    """Several runs: a frame per class, with a line of each run."""
    tables = [{str(row.get("name")): row for row in rows(run.evaluation.get("curves"))} for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    charts = []
    for name in names[: 3 * MOST_CLASSES]:
        lines = [
            Line(run.name, points, run.place)
            for run, table in zip(runs, tables, strict=True)
            if (points := curve(table.get(name, {}), "recall", "precision"))
        ]
        if lines:
            charts.append(line_chart(name, lines, "recall", (0.0, 1.0), (0.0, 1.0)))
    if not charts:
        return []
    shown: list[Block] = [Heading("Precision over recall, by class"), Figures(charts[:6])]
    if len(charts) > 6:
        shown.append(Fold(f"{len(charts) - 6} more classes", [Figures(charts[6:])]))
    return shown


def curve(row: dict[str, object], x: str, y: str) -> list[tuple[float, float]]:
    """Points of two columns of a curve; empty where they do not fit together."""
    across, upward = row.get(x), row.get(y)
    if not isinstance(across, list) or not isinstance(upward, list) or len(across) != len(upward):
        return []
    pairs = [(number(a), number(b)) for a, b in zip(across, upward, strict=True)]
    return [(a, b) for a, b in pairs if a is not None and b is not None]
