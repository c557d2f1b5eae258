"""The check of the anchors in words: findings with a remedy, and the section of the doctor's report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.anchor_check import COCO_SIZES, THRESHOLDS, AnchorCheck, share
from foveal.diagnosis.anchor_fit import SMALL_OBJECT
from foveal.diagnosis.finding import Finding
from foveal.types import Array

FIT = "run foveal doctor CONFIG --fit-anchors"
WHERE = "model.architecture.head.params.anchor_sizes"
FEW, MANY = 0.02, 0.2
"""Share of pictures or boxes without an object from which it is told, and from which it is an error."""
RESCUED = 0.1
"""Share of boxes that only the low-quality rule gives an object, from which it is told."""
WEAK_CLASS, LEAST_CLASS = 0.3, 10
"""A class is told of where its recall lies this far below the whole's; smaller classes say little."""
TINY = 8.0
"""Sides in canvas pixels of a box that hardly covers a cell of P3."""
LISTED = 10


class Row(NamedTuple):
    """Boxes of one kind."""

    name: str
    boxes: int
    recall: float
    """Best possible, at the threshold of the rule."""
    reached: float
    """Share with an object as configured."""
    mean_iou: float
    """Of the best anchors."""
    positives: float
    """Objects of a box, the median."""
    median_side: float


def row_of(check: AnchorCheck, name: str, rows: Array) -> Row:
    """Figures of the given boxes (rows, or a mask)."""
    iou, counts = check.best.iou[rows], check.positives[rows].sum(axis=1)
    empty = len(iou) == 0
    return Row(
        name,
        len(iou),
        share(iou >= check.threshold),
        share(counts > 0),
        float("nan") if empty else float(iou.mean()),
        float("nan") if empty else float(np.median(counts)),
        float("nan") if empty else float(np.median(check.boxes.sides[rows])),
    )


def by_size(check: AnchorCheck) -> list[Row]:
    """COCO's small, medium and large, in canvas pixels; sizes without a box are left out."""
    sides = check.boxes.sides
    rows = [row_of(check, name, (sides >= low) & (sides < high)) for name, low, high in COCO_SIZES]
    return [row for row in rows if row.boxes]


def by_class(check: AnchorCheck, names: tuple[str, ...]) -> list[Row]:
    """Classes with a box, the one of lowest recall first."""
    rows = [row_of(check, name, check.boxes.labels == label) for label, name in enumerate(names)]
    return sorted((row for row in rows if row.boxes), key=lambda row: (row.recall, row.mean_iou))


def section_lines(check: AnchorCheck, records: Records) -> list[str]:
    """The figures of a check as plain lines."""
    if not len(check.boxes.boxes):
        return ["no box that is not a crowd: nothing for anchors to reach"]
    low, middle, high = np.quantile(check.boxes.sides, [0.1, 0.5, 0.9])
    height, width = check.canvas
    lines = [
        f"{len(check.boxes.boxes):,} boxes on a canvas of {width} x {height}: sides {low:.0f}, {middle:.0f}, "
        f"{high:.0f} px (10 %, median, 90 %); rule {_rule(check)}"
    ]
    lines += [check.boxes.sampled] if check.boxes.sampled else []
    shares = ", ".join(f"{check.recall(t):.1%} at {t}" for t in THRESHOLDS)
    lines.append(f"best possible recall: {shares}; mean best IoU {check.best.iou.mean():.2f}")
    lines.append(_reach(check))
    lines += _level_lines(check)
    lines += [_row_line(row, check) for row in by_size(check)]
    classes = by_class(check, records.classes.names)
    lines += [_row_line(row, check) for row in classes[:LISTED]]
    if len(classes) > LISTED:
        lines.append(f"  and {len(classes) - LISTED} classes more, of higher recall")
    return lines + unreached_lines(check, records)


def unreached_lines(check: AnchorCheck, records: Records, most: int = LISTED) -> list[str]:
    """Boxes without any object: picture, box in its own pixels, size on the canvas, best IoU.

    records: what the check was made of (``as_trained``).
    """
    rows = check.unreached
    if not len(rows):
        return []
    owner = check.boxes.owner
    lines = [f"{len(rows):,} boxes have no object; those of lowest IoU:"]
    for row in rows[:most]:
        place = owner[row]
        picture = check.boxes.pictures[place]
        file = records.files[picture]
        corners = check.boxes.boxes[row] / check.boxes.zoom[place]
        if isinstance(records, TiledRecords):
            corners = corners + np.tile(records.windows[picture, :2], 2)
        box = ", ".join(f"{value:.0f}" for value in corners)
        w, h = check.boxes.shapes[row]
        name = records.classes.names[check.boxes.labels[row]]
        lines.append(
            f"  {file}: {name} [{box}]: {w:.1f} x {h:.1f} px on the canvas, best IoU "
            f"{check.best.iou[row]:.2f} ({check.levels[check.best.level[row]].name})"
        )
    return lines


def _rule(check: AnchorCheck) -> str:
    if check.assigner == "atss":
        return "ATSS"
    return f"IoU {check.threshold:g}, low-quality matches {'on' if check.low_quality else 'off'}"


def _reach(check: AnchorCheck) -> str:
    counts = check.positives.sum(axis=1)
    low, middle, high = np.quantile(counts, [0.1, 0.5, 0.9])
    text = (
        f"boxes with an object: {check.reached:.1%}; objects a box {low:.0f}, {middle:.0f}, {high:.0f} "
        "(10 %, median, 90 %)"
    )
    if check.otherwise is not None:
        strict, lenient = share(check.strict.any(axis=1)), share(check.lenient.any(axis=1))
        text += f"; without low-quality matches {strict:.1%}, with them {lenient:.1%}"
    none = len(check.pictures_without())
    return f"{text}; pictures with boxes but no object: {none:,} of {_labelled(check):,}"


def _labelled(check: AnchorCheck) -> int:
    return int((np.diff(check.boxes.offsets) > 0).sum())


def _level_lines(check: AnchorCheck) -> list[str]:
    lines = []
    sides = check.boxes.sides
    for number, level in enumerate(check.levels):
        nearest = check.best.level == number
        span = f"{level.sizes[0]:.4g}" + (f" to {level.sizes[-1]:.4g}" if len(level.sizes) > 1 else "")
        size = f", median {np.median(sides[nearest]):.0f} px" if nearest.any() else ""
        lines.append(
            f"  {level.name}: stride {level.stride}, anchors {span} px: best for {share(nearest):.1%} of the boxes"
            f"{size}; {check.positives[:, number].sum():,} objects in all"
        )
    return lines


def _row_line(row: Row, check: AnchorCheck) -> str:
    return (
        f"  {row.name}: {row.boxes:,} box{'' if row.boxes == 1 else 'es'}, median {row.median_side:.0f} px: "
        f"{row.recall:.1%} reach {check.threshold:g}, mean best IoU {row.mean_iou:.2f}, with an object "
        f"{row.reached:.1%}, {row.positives:.0f} objects a box"
    )


# ---------------------------------------------------------------- findings


def anchor_findings(check: AnchorCheck, records: Records) -> list[Finding]:
    """What is wrong with the anchors, the gravest first."""
    if not len(check.boxes.boxes):
        return []
    found = [*_pictures(check), *_boxes(check), *_rescued(check), *_tiny(check)]
    return [*found, *_classes(check, records.classes.names), *_idle(check)]


def _sizes(check: AnchorCheck) -> str:
    smallest = min(level.sizes[0] for level in check.levels)
    largest = max(level.sizes[-1] for level in check.levels)
    return f"median box {check.median_side:.0f} px on the canvas, anchors {smallest:.4g} to {largest:.4g} px"


def _pictures(check: AnchorCheck) -> Iterator[Finding]:
    without, labelled = len(check.pictures_without()), _labelled(check)
    if without >= max(1, FEW * labelled):
        part = without / labelled
        message = f"{part:.0%} of pictures have no positive anchor: {_sizes(check)}"
        yield _finding("anchors_pictures_without", part, message)


def _boxes(check: AnchorCheck) -> Iterator[Finding]:
    part = 1 - check.reached
    if part >= FEW:
        message = f"{part:.0%} of boxes reach no anchor (rule {_rule(check)}): {_sizes(check)}"
        yield _finding("anchors_boxes_without", part, message)


def _rescued(check: AnchorCheck) -> Iterator[Finding]:
    if not check.low_quality:
        return
    part = share(check.lenient.any(axis=1) & ~check.strict.any(axis=1))
    if part >= RESCUED:
        message = (
            f"{part:.0%} of boxes are learned from a single poor anchor or two: none reaches IoU "
            f"{check.threshold:g}, only the low-quality rule gives them one: {_sizes(check)}"
        )
        yield Finding("anchors_low_quality_only", "warning", WHERE, message, FIT)


def _tiny(check: AnchorCheck) -> Iterator[Finding]:
    finest, median = check.levels[0], check.median_side
    tiny = share(check.boxes.sides < TINY)
    if median < SMALL_OBJECT and finest.stride > 4:
        message = f"the median box is {median:.0f} px on the canvas, two cells of {finest.name} or less"
        fix = f"{FIT}: P2, a larger canvas or tiles"
        yield Finding("objects_tiny", "warning", "data.image_size", message, fix)
    elif tiny >= RESCUED:
        message = f"{tiny:.0%} of boxes are under {TINY:g} px wide and high on the canvas"
        yield Finding(
            "objects_tiny", "note", "data.image_size", message, f"enlarge data.image_size, or {FIT}"
        )


def _classes(check: AnchorCheck, names: tuple[str, ...]) -> Iterator[Finding]:
    whole = check.recall()
    for row in by_class(check, names):
        if row.boxes >= LEAST_CLASS and row.recall < whole - WEAK_CLASS and check.assigner == "iou":
            message = (
                f"class {row.name!r}: {row.recall:.0%} of {row.boxes} boxes can reach IoU {check.threshold:g} "
                f"(all classes {whole:.0%}); its median box is {row.median_side:.0f} px"
            )
            yield Finding("anchors_class_without", "warning", WHERE, message, FIT)


def _idle(check: AnchorCheck) -> Iterator[Finding]:
    idle = [level for number, level in enumerate(check.levels) if not check.positives[:, number].any()]
    if idle and check.reached > 0:
        names = ", ".join(level.name for level in idle)
        message = (
            f"no box of the training set has an object on {names} (anchors from {idle[0].sizes[0]:.4g} px)"
        )
        fix = "harmless where larger objects may come later; else leave out their lists in anchor_sizes"
        yield Finding("anchors_idle_level", "note", WHERE, message, fix)


def _finding(rule: str, part: float, message: str) -> Finding:
    return Finding(rule, "error" if part >= MANY else "warning", WHERE, message, FIT)
