"""What is wrong with a configuration's anchors: findings with a remedy."""

from __future__ import annotations

from collections.abc import Iterator

from foveal.data.records import Records
from foveal.diagnosis.anchors.check import AnchorCheck, share
from foveal.diagnosis.anchors.figures import by_class
from foveal.diagnosis.anchors.octaves import SMALL_OBJECT
from foveal.diagnosis.anchors.sides import sides_in_words
from foveal.diagnosis.finding import Finding

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


def anchor_findings(check: AnchorCheck, records: Records) -> list[Finding]:
    """What is wrong with the anchors, the gravest first."""
    if not len(check.boxes.boxes):
        return []
    found = [*_pictures(check), *_boxes(check), *_rescued(check), *_tiny(check)]
    return [*found, *_classes(check, records.classes.names), *_idle(check)]


def _sizes(check: AnchorCheck) -> str:
    sizes = [size for level in check.levels for size in level.sizes]
    return f"{sides_in_words(check.median_side, min(sizes), max(sizes))} on the canvas"


def _pictures(check: AnchorCheck) -> Iterator[Finding]:
    without, labelled = len(check.pictures_without()), check.boxes.labelled
    if without >= max(1, FEW * labelled):
        part = without / labelled
        message = f"{part:.0%} of pictures with boxes have no positive anchor: {_sizes(check)}"
        yield _finding("anchors_pictures_without", part, message)


def _boxes(check: AnchorCheck) -> Iterator[Finding]:
    part = 1 - check.reached
    if part >= FEW:
        message = f"{part:.0%} of boxes reach no anchor (rule {check.rule}): {_sizes(check)}"
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
