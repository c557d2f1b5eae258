"""Precision and recall of ranked detections, and the area under their curve in the three usual ways.

Matching is that of Pascal VOC's development kit, at one IoU threshold; COCO's own numbers come from
``metrics.coco``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torchvision.ops import box_iou

from foveal.metrics.columns import DetectionColumns
from foveal.types import Array, GroundTruth

Method = Literal["all_points", "eleven_points", "coco101"]


class Matches(NamedTuple):
    """Ranked detections of one class, best first, without those that fell on an ignored box."""

    scores: Array
    """[D] float64, descending."""
    correct: Array
    """[D] bool: found a box that no better detection had found."""
    positives: int
    """Boxes there are to find."""


class Curve(NamedTuple):
    """Precision and recall after each detection, best first; recall never falls."""

    recall: Array
    precision: Array
    scores: Array


def average_precision(recall: Array, precision: Array, method: Method = "all_points") -> float:
    """Average precision of a curve, in [0, 1]; 0.0 for a curve without a point.

    recall, precision: [D] after each detection, best first. Precision is first made monotone: at each
    recall, the best precision at that recall or above.
    method: all_points (VOC 2010 on: the exact area), eleven_points (VOC 2007: the mean at recall 0, 0.1,
    ..., 1), coco101 (COCO: the mean at recall 0, 0.01, ..., 1). ValueError for any other.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, not {method!r}")
    recall, precision = np.asarray(recall, dtype=np.float64), np.asarray(precision, dtype=np.float64)
    if recall.shape != precision.shape or recall.ndim != 1:
        raise ValueError(f"recall {recall.shape} and precision {precision.shape} must be two equal columns")
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "all_points":
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    points = np.linspace(0, 1, 11 if method == "eleven_points" else 101)
    # Past the last recall reached, precision is 0.
    return float(np.mean(np.append(envelope, 0.0)[np.searchsorted(recall, points, side="left")]))


def match_class(
    ground_truth: GroundTruth, detections: DetectionColumns, label: int, iou_threshold: float = 0.5
) -> Matches:
    """Match one class's detections to its boxes as Pascal VOC does, over all pictures.

    Best score first, each detection is given the box of its picture that it overlaps most. It is correct
    where that IoU is at least the threshold and the box was not found before; a second detection of the same
    box is wrong. Crowd boxes (VOC: "difficult") are nothing to find, and detections given to them drop out.
    """
    mine = np.flatnonzero(detections.labels == label)
    mine = mine[np.argsort(-detections.scores[mine], kind="stable")]
    place_of = {image_id: place for place, image_id in enumerate(ground_truth.image_ids.tolist())}
    correct, counted = np.zeros(len(mine), dtype=bool), np.ones(len(mine), dtype=bool)
    by_picture = np.argsort(detections.image_ids[mine], kind="stable")
    ids, starts = np.unique(detections.image_ids[mine][by_picture], return_index=True)
    for image_id, ranked in zip(ids.tolist(), np.split(by_picture, starts[1:]), strict=False):
        place = place_of[image_id]
        rows = np.arange(ground_truth.offsets[place], ground_truth.offsets[place + 1])
        rows = rows[ground_truth.labels[rows] == label]
        if len(rows):
            iou = _iou(detections.boxes[mine[ranked]], ground_truth.boxes[rows])
            correct[ranked], counted[ranked] = _match_picture(iou, ground_truth.crowd[rows], iou_threshold)
    positives = int(np.sum((ground_truth.labels == label) & ~ground_truth.crowd))
    return Matches(detections.scores[mine][counted], correct[counted], positives)


def precision_recall(matches: Matches) -> Curve:
    """Precision and recall after each detection; recall is 0 where there is no box to find."""
    correct = np.cumsum(matches.correct)
    precision = correct / np.arange(1, len(correct) + 1)
    return Curve(correct / max(matches.positives, 1), precision, matches.scores)


def voc_average_precision(
    ground_truth: GroundTruth,
    detections: DetectionColumns,
    iou_threshold: float = 0.5,
    method: Method = "all_points",
) -> dict[str, float | None]:
    """Pascal VOC average precision by class name; None for a class without a box. Their mean is VOC's mAP."""
    result: dict[str, float | None] = {}
    for label, name in enumerate(ground_truth.classes.names):
        matches = match_class(ground_truth, detections, label, iou_threshold)
        curve = precision_recall(matches)
        value = average_precision(curve.recall, curve.precision, method)
        result[name] = value if matches.positives else None
    return result


def _match_picture(iou: Array, ignored: Array, threshold: float) -> tuple[Array, Array]:
    """Of [D, M] overlaps, best detection first: which are correct, and which count at all ([D] bool each)."""
    best = iou.argmax(axis=1)
    enough = iou[np.arange(len(iou)), best] >= threshold
    counted = ~(enough & ignored[best])
    # The first of the detections given to a box finds it.
    first = np.zeros(len(iou), dtype=bool)
    claims = np.flatnonzero(enough & counted)
    first[claims[np.unique(best[claims], return_index=True)[1]]] = True
    return first, counted


def _iou(first: Array, second: Array) -> Array:
    overlaps = box_iou(torch.from_numpy(first), torch.from_numpy(np.asarray(second, dtype=np.float64)))
    return np.asarray(overlaps.numpy())
