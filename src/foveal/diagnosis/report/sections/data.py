"""The labels: how many, of which class, how large, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveal.data.records import Records
from foveal.diagnosis.report.blocks import (
    MISSING,
    Block,
    Cell,
    Column,
    Figures,
    Heading,
    Note,
    Row,
    Section,
    Table,
    size_of,
)
from foveal.diagnosis.report.charts.bars import Bar, Steps, bar_chart, histogram
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run
from foveal.diagnosis.report.splits import Splits
from foveal.types import Array

LEAD = "What the detector was trained on (train) and measured on (val)."
MOST_BARS = 24
RATIOS = (1 / 8, 1 / 4, 1 / 2.83, 1 / 2, 1 / 1.41, 1.0, 1.41, 2.0, 2.83, 4.0, 8.0)
RATIO_NAMES = ("1:8", "1:4", "1:2.8", "1:2", "1:1.4", "1:1", "1.4:1", "2:1", "2.8:1", "4:1", "8:1")


def data(runs: Sequence[Run], splits: Sequence[Splits]) -> Section:
    """A part for each different data section."""
    blocks: list[Block] = []
    for part in splits:
        if len(splits) > 1:
            names = ", ".join(runs[place].name for place in part.runs)
            blocks.append(Heading(names, part.runs[0]))
        if part.train is None:
            words = f"The labels could not be read again: {part.problem}. Where they can, their counts stand here."
            blocks.append(Note(words))
        else:
            blocks += _part(part, runs[part.runs[0]])
    return Section("data", "Data", LEAD, blocks)


def _part(part: Splits, run: Run) -> list[Block]:
    named = [
        (name, records) for name, records in (("train", part.train), ("val", part.val)) if records is not None
    ]
    assert part.config is not None
    assert part.config.data is not None
    canvas = part.config.data.image_size
    blocks: list[Block] = [_counts(named, canvas)]
    figures = [
        chart for chart in (_per_class(named), _sides(named, canvas), _ratios(named)) if chart is not None
    ]
    if figures:
        blocks.append(Figures(figures))
    if len(named[0][1].classes.names) > MOST_BARS:
        blocks.append(_class_table(named))
    return [*blocks, *_faults(named, run)]


def _counts(named: Sequence[tuple[str, Records]], canvas: tuple[int, int]) -> Table:
    rows: list[Row] = []
    for name, records in named:
        boxes = int((~records.crowd).sum())
        empty = int((np.diff(records.offsets) == 0).sum())
        rows.append(
            [
                name,
                f"{len(records):,}",
                f"{boxes:,}",
                f"{boxes / max(1, len(records)):.1f}",
                f"{empty:,}",
                f"{int(records.crowd.sum()):,}",
                _picture_sizes(records),
                size_of(canvas[1], canvas[0]),
            ]
        )
    columns = [
        Column("part", numeric=False),
        Column("pictures"),
        Column("boxes"),
        Column("boxes a picture"),
        Column("pictures without"),
        Column("crowds"),
        Column(size_of("width", "height")),
        Column("seen at"),
    ]
    return Table(columns, rows)


def _picture_sizes(records: Records) -> str:
    if not len(records):
        return MISSING
    low = size_of(records.widths.min(), records.heights.min())
    high = size_of(records.widths.max(), records.heights.max())
    return low if low == high else f"{low} to {high}"


def _per_class(named: Sequence[tuple[str, Records]]) -> Figure | None:
    names = named[0][1].classes.names
    if len(names) > MOST_BARS:
        return None
    counts = [records.boxes_per_class() for _, records in named]
    bars = [
        Bar(name, [float(column[place]) if place < len(column) else None for column in counts])
        for place, name in enumerate(names)
    ]
    return bar_chart("Boxes of each class", bars, [name for name, _ in named], digits=0)


def _class_table(named: Sequence[tuple[str, Records]]) -> Table:
    counts = [records.boxes_per_class() for _, records in named]
    order = np.argsort(-np.asarray(counts[0]), kind="stable")
    names = named[0][1].classes.names
    rows: list[Row] = [
        [names[k], *(f"{column[k]:,}" if k < len(column) else MISSING for column in counts)] for k in order
    ]
    columns = [Column("class", numeric=False), *(Column(f"boxes, {name}") for name, _ in named)]
    return Table(columns, rows, caption="Boxes of each class", fold_after=12)


def _sides(named: Sequence[tuple[str, Records]], canvas: tuple[int, int]) -> Figure | None:
    """Box sides in pixels of the canvas, two bins an octave."""
    sides = [_canvas_sides(records, canvas) for _, records in named]
    if not any(len(part) for part in sides):
        return None
    whole = np.concatenate(sides)
    low = max(0, int(np.floor(np.log2(max(1.0, whole.min())))))
    high = min(13, max(low + 2, int(np.ceil(np.log2(max(2.0, whole.max()))))))
    edges = 2.0 ** np.arange(low, high + 0.25, 0.5)
    names = [f"{edge:.0f}" for edge in edges]
    note = "Side: square root of the area. COCO calls boxes under 32 px small, over 96 px large (unscaled)."
    return histogram(
        "Sizes of boxes as the network sees them",
        names,
        _shares(named, sides, edges),
        "side in pixels",
        " %",
        note,
    )


def _canvas_sides(records: Records, canvas: tuple[int, int]) -> Array:
    keep = ~records.crowd
    owner = np.repeat(np.arange(len(records)), np.diff(records.offsets))[keep]
    zoom = np.minimum(canvas[0] / np.maximum(1, records.heights), canvas[1] / np.maximum(1, records.widths))
    boxes = records.boxes[keep]
    shapes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    sides: Array = np.sqrt(shapes.prod(axis=1)) * zoom[owner]
    return sides


def _ratios(named: Sequence[tuple[str, Records]]) -> Figure | None:
    ratios = []
    for _, records in named:
        boxes = records.boxes[~records.crowd]
        shapes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
        ratios.append(shapes[:, 1] / shapes[:, 0])
    if not any(len(part) for part in ratios):
        return None
    return histogram(
        "Shapes of boxes", RATIO_NAMES, _shares(named, ratios, np.array(RATIOS)), "height : width", " %"
    )


def _shares(named: Sequence[tuple[str, Records]], values: Sequence[Array], edges: Array) -> list[Steps]:
    """Percent of each part's boxes between the edges; what lies outside counts to the ends."""
    found = []
    for place, ((name, _), part) in enumerate(zip(named, values, strict=True)):
        counts = np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0]
        shares = 100 * counts / max(1, len(part))
        found.append(Steps(f"{name}, % of boxes", [round(float(share), 2) for share in shares], place))
    return found


def _faults(named: Sequence[tuple[str, Records]], run: Run) -> list[Block]:
    rows: list[Row] = []
    for name, records in named:
        for kind, count in sorted(records.fault_counts().items(), key=lambda item: -item[1]):
            first = next(fault for fault in records.faults if fault.kind == kind)
            words = f"{run.plain(first.where)}: {run.plain(first.message)}"
            rows.append([name, Cell(kind.replace("_", " "), strong=True), f"{count:,}", words])
    if not rows:
        return [Note("The reader found nothing wrong with the labels.", "good")]
    columns = [
        Column("part", numeric=False),
        Column("fault", numeric=False),
        Column("times"),
        Column("the first", numeric=False),
    ]
    more = Note("All of them, with what to do:", "tip", "foveal doctor config.yaml")
    return [Table(columns, rows, caption="What the reader noticed in the labels"), more]
