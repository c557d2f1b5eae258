"""The figures of an anchor check, by size and by class, and as the section of the doctor's report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foveal.data.records import Records
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.anchors.check import COCO_SIZES, THRESHOLDS, AnchorCheck, share
from foveal.grammar import many
from foveal.types import Array

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
        f"{high:.0f} px (10 %, median, 90 %); rule {check.rule}"
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
    return f"{text}; pictures with boxes but no object: {none:,} of {check.boxes.labelled:,}"


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
        f"  {row.name}: {many(row.boxes, 'box', 'boxes')}, median {row.median_side:.0f} px: "
        f"{row.recall:.1%} reach {check.threshold:g}, mean best IoU {row.mean_iou:.2f}, with an object "
        f"{row.reached:.1%}, {row.positives:.0f} objects a box"
    )
