"""Whether the anchors can reach the boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveal.diagnosis.anchors.check import COCO_SIZES, AnchorCheck, check_anchors, share
from foveal.diagnosis.report.blocks import Block, Column, Figures, Heading, Note, Row, Section, Table, size_of
from foveal.diagnosis.report.charts.bars import Bar, bar_chart
from foveal.diagnosis.report.charts.lines import Line, line_chart
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run
from foveal.diagnosis.report.splits import Splits, checked_config
from foveal.errors import FovealError

LEAD = "How well the anchors fit the training boxes at the size that was trained at."
IOUS = np.arange(0.3, 0.951, 0.05)
ENOUGH = 0.95
MOST_BARS = 24


def anchors(runs: Sequence[Run], splits: Sequence[Splits]) -> Section:
    """Levels of each run; recall of all in one frame."""
    checks: list[tuple[int, AnchorCheck]] = []
    blocks: list[Block] = []
    for place, run in enumerate(runs):
        part = next(part for part in splits if place in part.runs)
        config = checked_config(run)
        if part.train is None or config is None or config.data is None:
            blocks.append(Note(f"{run.name}: not measured, the labels could not be read again."))
            continue
        try:
            checks.append((place, check_anchors(part.train, config)))
        except (FovealError, ValueError, RuntimeError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            blocks.append(Note(f"{run.name}: not measured: {run.plain(lines[0])}"))
    if not checks:
        return Section("anchors", "Anchors", LEAD, blocks)
    figures = [_recall(runs, checks), _per_size(runs, checks)]
    if len(runs[0].config) and len(_class_names(splits)) <= MOST_BARS:
        figures.append(_per_class(runs, checks, _class_names(splits)))
    shown: list[Block] = [
        _verdict(check, runs[place].name if len(runs) > 1 else "") for place, check in checks
    ]
    shown.append(Figures(figures))
    for place, check in checks:
        if len(runs) > 1:
            shown.append(Heading(runs[place].name, place))
        shown.append(_levels(check, runs[place]))
    return Section("anchors", "Anchors", LEAD, [*shown, *blocks])


def _verdict(check: AnchorCheck, name: str) -> Note:
    recall, reached = check.recall(), check.reached
    start = f"{name}: " if name else ""
    text = (
        f"{start}{recall:.1%} of the boxes meet an anchor with an IoU of {check.threshold:g} or more, and "
        f"{reached:.1%} get an anchor to learn from ({check.assigner.upper()})."
    )
    if check.boxes.sampled:
        text += f" {check.boxes.sampled[0].upper()}{check.boxes.sampled[1:]}."
    if min(recall if check.assigner == "iou" else 1.0, reached) < ENOUGH:
        return Note(f"{text} The others are learned badly or not at all:", "warning",
                    "foveal doctor --fit-anchors config.yaml")  # fmt: skip
    return Note(text, "good")


def _recall(runs: Sequence[Run], checks: Sequence[tuple[int, AnchorCheck]]) -> Figure:
    lines = [
        Line(
            runs[place].name if len(runs) > 1 else "all boxes",
            [(round(float(iou), 2), 100 * share(check.best.iou >= iou)) for iou in IOUS],
            place,
        )
        for place, check in checks
    ]
    return line_chart("Boxes that an anchor reaches", lines, "IoU that counts as reached", (0.0, 100.0),
                      note="Percent of the training boxes.")  # fmt: skip


def _per_size(runs: Sequence[Run], checks: Sequence[tuple[int, AnchorCheck]]) -> Figure:
    bars = []
    for name, low, high in COCO_SIZES:
        values = []
        for _, check in checks:
            inside = (check.boxes.sides >= low) & (check.boxes.sides < high)
            values.append(100 * share(check.best.iou[inside] >= check.threshold) if inside.any() else None)
        bars.append(Bar(f"{name}, {_range(low, high)}", values))
    names = [runs[place].name for place, _ in checks]
    return bar_chart("Best possible recall by size", bars, names, " %", high=100.0,
                     note="Sizes in pixels of the canvas.")  # fmt: skip


def _range(low: float, high: float) -> str:
    if low == 0:
        return f"under {high:g} px"
    return f"over {low:g} px" if high == float("inf") else f"{low:g} to {high:g} px"


def _per_class(
    runs: Sequence[Run], checks: Sequence[tuple[int, AnchorCheck]], names: Sequence[str]
) -> Figure:
    bars = []
    for label, name in enumerate(names):
        values = []
        for _, check in checks:
            mine = check.boxes.labels == label
            values.append(100 * share(check.best.iou[mine] >= check.threshold) if mine.any() else None)
        bars.append(Bar(name, values))
    return bar_chart(
        "Best possible recall by class", bars, [runs[place].name for place, _ in checks], " %", high=100.0
    )


def _class_names(splits: Sequence[Splits]) -> Sequence[str]:
    return next((part.train.classes.names for part in splits if part.train is not None), ())


def _levels(check: AnchorCheck, run: Run) -> Table:
    """A line per level: what it is, and which boxes are its own."""
    objects = check.positives.sum(axis=0) / max(1, len(check.boxes.pictures))
    best = np.bincount(check.best.level, minlength=len(check.levels)) / max(1, len(check.best.level))
    rows: list[Row] = [
        [
            level.name,
            f"{level.stride}",
            ", ".join(f"{size:.0f}" for size in level.sizes),
            f"{level.anchors:,}",
            f"{objects[place]:.1f}",
            f"{best[place]:.1%}",
        ]
        for place, level in enumerate(check.levels)
    ]
    columns = [
        Column("level", numeric=False),
        Column("stride"),
        Column("sides in px"),
        Column("anchors"),
        Column("objects a picture", tip="anchors that are objects, without augmentation"),
        Column("fits best", tip="boxes whose best anchor is on this level"),
    ]
    caption = f"{check.per_cell} anchors a cell; canvas {size_of(check.canvas[1], check.canvas[0])}"
    return Table(columns, rows, caption)
