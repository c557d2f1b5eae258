"""Detections of a whole data set as columns: collected by picture, refused where they make no sense."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveal.errors import DataError
from foveal.types import Array, ClassNames, GroundTruth


class DetectionColumns(NamedTuple):
    """Detections of many pictures, in original pixels; also what one process hands to another."""

    image_ids: Array
    """[D] int64."""
    boxes: Array
    """[D, 4] float64 xyxy."""
    scores: Array
    """[D] float64."""
    labels: Array
    """[D] int64 class indices."""
    pictures: Array
    """[P] int64: ids of all pictures looked at, those without a detection too."""


class DetectionStore:
    """Detections of the pictures of one ground truth; each picture is given once.

    A picture given twice is an error. Only ``merge`` passes over the second one, because a sampler that deals
    pictures to several processes repeats some to make the shares equal.
    """

    def __init__(self, ground_truth: GroundTruth) -> None:
        self._known = _unique(ground_truth.image_ids.tolist(), "picture id")
        _unique(ground_truth.classes.ids, "class id")
        self._classes = ground_truth.classes
        self._parts: dict[int, tuple[Array, Array, Array]] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, image_id: int, boxes: Any, scores: Any, labels: Any) -> None:
        """Add one picture's detections, in its original pixels.

        boxes: [D, 4] xyxy; scores: [D]; labels: [D] class indices. Arrays, tensors or lists.
        DataError where the picture is unknown or was added before, where a number is not finite, or where
        a label is no class; ValueError where the lengths differ.
        """
        image_id = int(image_id)
        part = (
            _column(boxes).reshape(-1, 4),
            _column(scores).reshape(-1),
            _column(labels).reshape(-1).astype(np.int64),
        )
        if len({len(column) for column in part}) != 1:
            raise ValueError(f"{len(part[0])} boxes, {len(part[1])} scores and {len(part[2])} labels")
        if image_id not in self._known:
            raise DataError(f"detections of picture {image_id}: the ground truth has no such picture")
        if image_id in self._parts:
            raise DataError(f"detections of picture {image_id} were given twice; call reset() between rounds")
        _check_values(image_id, part, self._classes)
        self._parts[image_id] = part

    def merge(self, others: Iterable[DetectionColumns]) -> None:
        """Take in what other processes collected; a picture that is there already is passed over."""
        for other in others:
            order = np.argsort(other.image_ids, kind="stable")
            starts = np.searchsorted(other.image_ids[order], other.pictures, side="left")
            ends = np.searchsorted(other.image_ids[order], other.pictures, side="right")
            for image_id, start, end in zip(other.pictures.tolist(), starts, ends, strict=True):
                if image_id not in self._parts:
                    rows = order[start:end]
                    self.add(image_id, other.boxes[rows], other.scores[rows], other.labels[rows])

    def columns(self) -> DetectionColumns:
        """All detections so far, in the order in which they came."""
        pictures = np.array(list(self._parts), dtype=np.int64)
        sizes = [len(scores) for _, scores, _ in self._parts.values()]
        # The empty head gives the shape and the type where nothing was added.
        boxes = [np.zeros((0, 4)), *(part[0] for part in self._parts.values())]
        scores = [np.zeros(0), *(part[1] for part in self._parts.values())]
        labels = [np.zeros(0, dtype=np.int64), *(part[2] for part in self._parts.values())]
        return DetectionColumns(
            np.repeat(pictures, sizes),
            np.concatenate(boxes),
            np.concatenate(scores),
            np.concatenate(labels),
            pictures,
        )


def to_xywh(boxes: Array) -> Array:
    """Boxes [N, 4] from xyxy to COCO's x, y, width, height, in float64."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _column(values: Any) -> Array:
    """A float64 copy; through torch for tensors, whose types (bfloat16) and devices numpy does not know."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().to(torch.float64).numpy()
    return np.array(values, dtype=np.float64)


def _unique(ids: Sequence[int], what: str) -> frozenset[int]:
    seen: set[int] = set()
    for one in ids:
        if one in seen:
            raise DataError(f"{what} {one} occurs twice in the ground truth; ids must differ")
        seen.add(one)
    return frozenset(seen)


def _check_values(image_id: int, part: tuple[Array, Array, Array], classes: ClassNames) -> None:
    boxes, scores, labels = part
    if not np.isfinite(scores).all():
        raise DataError(f"detections of picture {image_id}: a score is not a finite number")
    if not np.isfinite(boxes).all():
        raise DataError(f"detections of picture {image_id}: a box is not made of finite numbers")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes.names):
        bad = labels[(labels < 0) | (labels >= len(classes.names))][0]
        raise DataError(
            f"detections of picture {image_id}: label {bad} is no class; there are {len(classes.names)}"
        )
