"""Better anchors, canvas or tiles for a configuration, each measured by the same check before and after."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from foveal.build import build_detector
from foveal.config.load import data_of
from foveal.config.schema import Config, Model
from foveal.data.records import Records
from foveal.diagnosis.anchors.check import AnchorCheck, as_trained, check_anchors
from foveal.diagnosis.anchors.octaves import SMALL_OBJECT
from foveal.diagnosis.anchors.search import Candidate, best_candidate, settings_of, with_anchors
from foveal.errors import DataError, UsageError
from foveal.ops.letterbox import STRIDE_MULTIPLE, canvas_size

Key = tuple[str, ...]
IMAGE_SIZE: Key = ("data", "image_size")
LEAST_MEDIAN, GOOD_MEDIAN = 10.0, 16.0
"""Median box side in canvas pixels under which a larger canvas is looked for, and that it should reach."""
LARGEST_CANVAS = 1024
"""Longer side in pixels: beyond it tiles are the cheaper way."""
LEAST_GAIN = 0.005
"""Recall, or mean best IoU, that other anchors must bring to be proposed."""
LEAST_FACTOR = 1.1
OVERLAP = 1.5
"""Of tiles, in sides of the larger objects (95th percentile)."""


class Tiles(NamedTuple):
    """Pictures cut into squares, each letterboxed onto the canvas by itself."""

    size: int
    """Side in pixels of the stored picture."""
    overlap: float
    """Share of a tile that its neighbour shows, too."""
    median_side: float
    """Of the boxes on the canvas, in pixels."""


class AnchorProposal(NamedTuple):
    """What to change, and what it brings."""

    before: AnchorCheck
    after: AnchorCheck
    changes: dict[Key, Any]
    """Keys of the configuration and their new values; empty: nothing better was found."""
    reasons: tuple[str, ...]
    """One line each: what was chosen and why, or why nothing was."""
    tiles: Tiles | None
    """Where no canvas shows the objects: the tiles that do. They are no part of ``changes``."""


def propose_anchors(records: Records, config: Config) -> AnchorProposal:
    """Sizes, ratios, levels and, for tiny objects, a canvas or tiles.

    The proposal has no more anchors in a cell than the configuration, and by ``check_anchors`` neither its best
    possible recall nor its share of boxes with an object is lower. DataError where no box can be fitted.
    """
    before = check_anchors(records, config)
    if not len(before.boxes.boxes):
        raise DataError("data.train: no box that is not a crowd; there is nothing to fit anchors to")
    size, tiles = _resolution(before, as_trained(records, config))
    reasons = [] if tiles is None else [_tiles_reason(before, tiles)]
    sized, kept = config, before
    if size is not None:
        sized = config.model_copy(update={"data": data_of(config).model_copy(update={"image_size": size})})
        kept = check_anchors(records, sized)
        reasons.append(_canvas_reason(before, kept))
    found = _best(sized.model, kept)
    after = check_anchors(
        records, sized.model_copy(update={"model": with_anchors(sized.model, found)}), kept.boxes
    )
    values: dict[Key, Any] = {} if size is None else {IMAGE_SIZE: list(size)}
    if worth_it(kept, after) and not _lower(after, before):
        values |= settings_of(found)
        reasons += _reasons(found, after)
    else:
        reasons.append(_no_better(kept, after))
        after, values = (before, {}) if _lower(kept, before) else (kept, values)
    changes = {key: value for key, value in values.items() if value != _present(config, key)}
    return AnchorProposal(before, after, changes, tuple(reasons), tiles)


def _best(model: Model, check: AnchorCheck) -> Candidate:
    """The best anchors that the model's backbone has maps for."""
    found = best_candidate(model, check.canvas, check.boxes)
    if found.min_level >= model.architecture.neck.params.min_level:
        return found
    try:
        with torch.random.fork_rng(devices=[]):
            build_detector(with_anchors(model, found), 1, pretrained=False)
    except UsageError:
        return best_candidate(model, check.canvas, check.boxes, (model.architecture.neck.params.min_level,))
    return found


def worth_it(before: AnchorCheck, after: AnchorCheck) -> bool:
    """Nothing is lost, and something that counts is won."""
    if _lower(after, before):
        return False
    gains = (after.recall() - before.recall(), after.reached - before.reached, _fit(after) - _fit(before))
    return max(gains) >= LEAST_GAIN


def _lower(one: AnchorCheck, other: AnchorCheck) -> bool:
    return one.recall() < other.recall() or one.reached < other.reached


def _fit(check: AnchorCheck) -> float:
    return float(check.best.iou.mean())


def _present(config: Config, key: Key) -> Any:
    """The value as the file would hold it."""
    value: Any = config.model_dump(mode="json", include=_nested(key))
    for step in key:
        value = value[step]
    return value


def _nested(key: Key) -> Any:
    return {key[0]: _nested(key[1:])} if len(key) > 1 else {key[0]}


# ---------------------------------------------------------------- canvas and tiles


def _resolution(check: AnchorCheck, records: Records) -> tuple[tuple[int, int] | None, Tiles | None]:
    """Canvas or tiles for objects whose median side is under 10 px; None: as it is."""
    if check.median_side >= LEAST_MEDIAN:
        return None, None
    factor, size = _larger_canvas(check)
    tiles = _tiles(check, records) if check.median_side * factor < LEAST_MEDIAN else None
    return (size, None) if tiles is None else (None, tiles)


def _canvas_reason(before: AnchorCheck, after: AnchorCheck) -> str:
    (height, width), (old_height, old_width) = after.canvas, before.canvas
    return (
        f"canvas: {width} x {height} instead of {old_width} x {old_height}: the median box is "
        f"{before.median_side:.1f} px, then {after.median_side:.1f}; a step works on "
        f"{height * width / (old_height * old_width):.1f} times the pixels"
    )


def _larger_canvas(check: AnchorCheck) -> tuple[float, tuple[int, int] | None]:
    """Factor and canvas that show the median box with 16 px, within 1,024 px and the stored pictures."""
    stored = float(np.median(1 / check.boxes.zoom))
    factor = min(GOOD_MEDIAN / check.median_side, LARGEST_CANVAS / max(check.canvas), stored)
    if factor < LEAST_FACTOR:
        return 1.0, None
    height, width = canvas_size(*(round(side * factor) for side in check.canvas))
    return factor, (height, width)


def _tiles(check: AnchorCheck, records: Records) -> Tiles | None:
    """Squares that show the median box with 16 px, at most doubled; None: none is smaller than the pictures."""
    stored = check.boxes.sides / check.boxes.zoom[check.boxes.owner]
    median, canvas = float(np.median(stored)), min(check.canvas)
    size = _up(max(canvas * median / GOOD_MEDIAN, canvas / 2))
    if size >= float(np.median(np.maximum(records.heights, records.widths))):
        return None
    # An object that a cut goes through is whole on the neighbour where it is no longer than what they share.
    overlap = math.ceil(20 * OVERLAP * float(np.quantile(stored, 0.95)) / size) / 20
    return Tiles(size, min(overlap, 0.5), median * canvas / size)


def _up(side: float) -> int:
    return math.ceil(side / STRIDE_MULTIPLE) * STRIDE_MULTIPLE


def _tiles_reason(check: AnchorCheck, tiles: Tiles) -> str:
    height, width = check.canvas
    return (
        f"tiles: the median box is {check.median_side:.1f} px on {width} x {height}, and no canvas up to "
        f"{LARGEST_CANVAS} px shows it well; set data.tiles: {{size: {tiles.size}, overlap: {tiles.overlap:g}}} "
        f"(it is then {tiles.median_side:.1f} px), and fit the anchors again"
    )


# ---------------------------------------------------------------- words


def _reasons(found: Candidate, after: AnchorCheck) -> list[str]:
    patterns = {
        "octaves": "equal ratios of size, doubling per level",
        "clusters": "centres of the boxes' own sizes (k-means over the logarithms of their sides)",
    }
    other = {"octaves": "clusters of the boxes' sizes", "clusters": "equal ratios of size"}[found.pattern]
    lines = [f"sizes: {patterns[found.pattern]}; {other} reached no more of them"]
    level = f"P{found.min_level} (stride {2**found.min_level})"
    if found.min_level == 2:
        small = after.median_side < SMALL_OBJECT
        why = (
            f"the median box is {after.median_side:.1f} px wide and high"
            if small
            else "it reaches more boxes"
        )
        lines.append(f"levels: from {level} on: {why}; the head's work is about four times that from P3 on")
    else:
        lines.append(
            f"levels: from {level} on, {len(found.sizes)} of them, as many as the largest boxes need"
        )
    if after.assigner == "atss":
        lines.append(
            f"ATSS: {found.per_cell} anchors a cell; it takes the best of each box, whatever their IoU"
        )
    return lines


def _no_better(before: AnchorCheck, after: AnchorCheck) -> str:
    return (
        f"anchors: kept: best possible recall {before.recall():.1%}, boxes with an object {before.reached:.1%}, "
        f"mean best IoU {_fit(before):.2f}; the best others come to {after.recall():.1%}, {after.reached:.1%} "
        f"and {_fit(after):.2f}"
    )
