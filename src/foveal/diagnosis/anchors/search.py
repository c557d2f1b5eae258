"""Anchors that a head can have, tried on measured boxes: which sizes, ratios and levels reach most of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from foveal.build import anchor_rule, build_anchors, build_assigner
from foveal.config.schema import AtssAssigner, IouAssigner, Model
from foveal.diagnosis.anchors.canvas_boxes import CanvasBoxes, part_of
from foveal.diagnosis.anchors.check import best_anchors, count_positives, share
from foveal.diagnosis.anchors.octaves import COARSEST, FEWEST_LEVELS, SMALL_OBJECT, octave_sizes, ratios_of
from foveal.ops.anchors import cell_anchors, cell_step
from foveal.types import AnchorLevel, Array

BASES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
"""Smallest anchor of the finest level, in strides (the paper: 4; ATSS, whose only size it is: 8)."""
LEAST_STRIDES, MOST_STRIDES = 0.75, 10.0
"""An anchor's side in strides of its level: smaller ones leave gaps between cells, larger ones see too little."""
MOST_SCALES = 4
BOXES = 1_000
"""What a candidate is tried on; the one that is chosen is measured on everything."""
ATSS_BOXES, ATSS_PICTURES = 500, 12
FINER_LEVEL = 0.02
"""Recall that P2, which makes the head four times as dear, must bring where objects are not small."""
FIT_WEIGHT = 0.1
"""Of the mean best IoU, beside the recall."""
SHAPE_WEIGHT = 0.004
"""ATSS does with one shape a cell nearly what it does with nine (its paper): each doubling must bring this."""


class Candidate(NamedTuple):
    """Anchors in the terms of the configuration."""

    sizes: list[list[float]]
    ratios: list[float]
    min_level: int
    pattern: str
    """``octaves``: sizes at equal ratios, doubling per level; ``clusters``: sizes from the boxes themselves."""

    @property
    def per_cell(self) -> int:
        """Anchors of one cell."""
        return len(self.sizes[0]) * len(self.ratios)


class Trial(NamedTuple):
    """A candidate and how good it is."""

    candidate: Candidate
    score: float


def best_candidate(
    model: Model, canvas: tuple[int, int], boxes: CanvasBoxes, finest: tuple[int, ...] | None = None
) -> Candidate:
    """The anchors that reach most of the boxes, with no more of them in a cell than the model has now.

    Under the IoU rule that is the share of boxes whose best anchor reaches the threshold; under ATSS the share
    of boxes that get an object; where equal, the higher mean of the best IoU. finest: levels that the pyramid may
    start at; None: P2 where the median side is under 16 px, else P3, or P2 where that brings two points.
    ValueError without a box.
    """
    if not len(boxes.boxes):
        raise ValueError("no boxes to fit anchors to")
    head = model.architecture.head.params
    most = len(head.anchor_sizes[0]) * len(head.octave_scales) * len(head.aspect_ratios)
    small = bool(np.median(boxes.sides) < SMALL_OBJECT)
    finest = finest or ((2,) if small else (3, 2))
    places = np.linspace(0, len(boxes.boxes) - 1, min(BOXES, len(boxes.boxes))).astype(int)
    tried = boxes.boxes[places]
    trials = [
        Trial(one, _fit(model, one, canvas, tried) - _price(one, small))
        for one in _candidates(boxes.shapes.astype(np.float64), most, finest)
    ]
    if isinstance(model.losses.assigner, AtssAssigner):
        trials = _by_atss(model, model.losses.assigner, canvas, boxes, trials)
    return max(trials, key=lambda trial: trial.score).candidate


def _fit(model: Model, candidate: Candidate, canvas: tuple[int, int], boxes: Array) -> float:
    """A tenth of the mean best IoU, and under the IoU rule the recall."""
    iou = best_anchors(boxes, _cells(model, candidate, canvas)).iou
    rule = model.losses.assigner
    reached = share(iou >= rule.fg_iou_thresh) if isinstance(rule, IouAssigner) else 0.0
    return reached + FIT_WEIGHT * float(iou.mean())


def _cells(model: Model, candidate: Candidate, canvas: tuple[int, int]) -> list[AnchorLevel]:
    """Levels without the grids' own anchors: ``best_anchors`` reads one cell's and the facts of the grid."""
    rule = anchor_rule(model.architecture.head.params)
    levels = []
    for number, sizes in enumerate(candidate.sizes):
        stride = 2 ** (candidate.min_level + number)
        grid = (-(-canvas[0] // stride), -(-canvas[1] // stride))
        cell = cell_anchors(sizes, candidate.ratios, rule)
        levels.append(
            AnchorLevel(cell, cell, stride, *grid, rule.offset, cell_step(rule, stride, grid, canvas))
        )
    return levels


def _by_atss(
    model: Model, rule: AtssAssigner, canvas: tuple[int, int], boxes: CanvasBoxes, trials: list[Trial]
) -> list[Trial]:
    """Of every number of anchors in a cell and every finest level the best fit; between them ATSS decides."""
    assigner = build_assigner(rule)
    tried = part_of(boxes, ATSS_BOXES, ATSS_PICTURES)
    best: dict[tuple[int, int], Trial] = {}
    for trial in trials:
        kind = (trial.candidate.per_cell, trial.candidate.min_level)
        if kind not in best or trial.score > best[kind].score:
            best[kind] = trial
    judged = []
    for (per_cell, _), trial in best.items():
        anchors = build_anchors(with_anchors(model, trial.candidate), canvas)
        reached = share(count_positives(tried, anchors, assigner).any(axis=1))
        dearer = SHAPE_WEIGHT * float(np.log2(per_cell))
        judged.append(Trial(trial.candidate, trial.score + reached - dearer))
    return judged


def with_anchors(model: Model, candidate: Candidate) -> Model:
    """The model with other anchors."""
    params = {
        "anchor_sizes": candidate.sizes,
        "octave_scales": [1.0],
        "aspect_ratios": candidate.ratios,
    }
    old = model.architecture
    head = old.head.model_copy(update={"params": old.head.params.model_copy(update=params)})
    neck_params = old.neck.params.model_copy(update={"min_level": candidate.min_level})
    neck = old.neck.model_copy(update={"params": neck_params})
    return model.model_copy(update={"architecture": old.model_copy(update={"head": head, "neck": neck})})


def settings_of(candidate: Candidate) -> dict[tuple[str, ...], Any]:
    """The same as keys and values of the file."""
    head: tuple[str, ...] = ("model", "architecture", "head", "params")
    return {
        ("model", "architecture", "neck", "params", "min_level"): candidate.min_level,
        (*head, "anchor_sizes"): candidate.sizes,
        (*head, "octave_scales"): [1.0],
        (*head, "aspect_ratios"): candidate.ratios,
    }


def _price(candidate: Candidate, small: bool) -> float:
    return FINER_LEVEL if candidate.min_level == 2 and not small else 0.0


def _candidates(shapes: Array, most: int, finest: tuple[int, ...]) -> Iterator[Candidate]:
    """Every pattern with at most that many anchors in a cell."""
    sides = np.sqrt(shapes.prod(axis=1))
    largest = float(np.quantile(sides, 0.98))
    for count in (1, 2, 3):
        ratios = ratios_of(shapes, count)
        scales = max(0, min(MOST_SCALES, most // count))
        for min_level in finest:
            for number in range(1, scales + 1):
                for base in BASES:
                    sizes = octave_sizes(base * 2**min_level, largest, COARSEST - min_level + 1, number)
                    yield Candidate(sizes, ratios, min_level, "octaves")
                for levels in range(1, FEWEST_LEVELS + 1):
                    found = cluster_sizes(sides, levels, number, min_level)
                    if found is not None:
                        yield Candidate(found, ratios, min_level, "clusters")


def cluster_sizes(sides: Array, levels: int, scales: int, min_level: int) -> list[list[float]] | None:
    """Sizes of ``levels`` levels as centres of the boxes' sides, on by doubling up to three levels.

    None where a size does not suit its level's stride, or the boxes have fewer sizes than that.
    """
    centres = cluster(np.log(sides), levels * scales)
    if centres is None:
        return None
    sizes = np.exp(centres).reshape(levels, scales)
    while len(sizes) < FEWEST_LEVELS:
        sizes = np.concatenate([sizes, sizes[-1:] * 2])
    strides = 2.0 ** np.arange(min_level, min_level + len(sizes))[:, None]
    if ((sizes < LEAST_STRIDES * strides) | (sizes > MOST_STRIDES * strides)).any():
        return None
    return [[round(float(size), 1) for size in level] for level in sizes]


def cluster(values: Array, count: int, rounds: int = 50) -> Array | None:
    """[count] centres of numbers (Lloyd's k-means), rising; None where there are fewer different numbers.

    It starts from even quantiles and from even steps; the one that ends nearer to the numbers counts. Numbers are
    logarithms of sides: the IoU of two squares falls with their distance.
    """
    if len(np.unique(values)) < count:
        return None
    ordered = np.sort(values)
    inner = (np.arange(count) + 0.5) / count
    starts = (np.quantile(ordered, inner), ordered[0] + (ordered[-1] - ordered[0]) * inner)
    ends = [_settle(ordered, start, rounds) for start in starts]
    spread = [float((np.abs(ordered[:, None] - centres).min(axis=1) ** 2).sum()) for centres in ends]
    return ends[int(np.argmin(spread))]


def _settle(ordered: Array, centres: Array, rounds: int) -> Array:
    """Moves each centre to the mean of the numbers nearest to it until none moves."""
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    for _ in range(rounds):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = np.concatenate(([0], edges, [len(ordered)]))
        number = np.diff(bounds)
        moved = np.where(number > 0, np.diff(sums[bounds]) / np.maximum(number, 1), centres)
        if np.allclose(moved, centres):
            break
        centres = np.sort(moved)
    return centres
