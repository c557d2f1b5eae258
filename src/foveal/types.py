"""The vocabulary of the package: shapes, sentinels, the tuples that cross rooms, the Protocols.

Shape legend, used in every docstring:

    B  pictures in a batch          L  pyramid levels             A  anchors per cell
    N  anchors of one picture, all levels together                K  classes
    M  ground-truth boxes of one picture                          C  candidates before NMS
    D  detections kept per picture  H, W  height and width in pixels (or cells, where a level is meant)

Boxes are ``xyxy``: x1, y1, x2, y2 in pixels, float32, 0-based and continuous (a picture of width W spans
[0, W]). ``logits`` are before the sigmoid, ``scores`` after it. There is no background class: labels run
from 0 to K - 1, and the two sentinels below stand for anchors that are not of any class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:  # so that a process which only decodes does without torch's half a gigabyte
    from torch import Tensor

BACKGROUND = -1
"""Label of an anchor that must be scored as no object."""
IGNORE = -2
"""Label of an anchor that takes part in no loss."""

Array = np.ndarray[Any, Any]


class Letterbox(NamedTuple):
    """How a stored picture was placed on the network's canvas: scaled, then put at (left, top).

    Canvas x = picture x * scale_x + left, and likewise for y. ``ops.letterbox`` makes and undoes it.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float
    height: int
    """Height and width of the upright original picture, in pixels."""
    width: int


class Target(NamedTuple):
    """Ground truth of one picture, in the pixels of the network's canvas."""

    boxes: Tensor
    """[M, 4] float32 xyxy."""
    labels: Tensor
    """[M] int64, class index 0..K-1."""
    crowd: Tensor
    """[M] bool; a crowd box is no positive, but anchors inside it are IGNORE instead of BACKGROUND."""


class Batch(NamedTuple):
    """What a loader yields: raw pictures and what is known about them."""

    images: Tensor
    """[B, 3, H, W] uint8 RGB, channels_last in memory."""
    targets: tuple[Target, ...]
    image_ids: tuple[int, ...]
    """The data set's own picture ids, for the evaluator and for naming a bad step."""
    letterboxes: tuple[Letterbox, ...]


class AnchorLevel(NamedTuple):
    """All anchors of one pyramid level, with the grid that made them."""

    boxes: Tensor
    """[H * W * A, 4] xyxy; row-major over cells, the A anchors of a cell together."""
    cell: Tensor
    """[A, 4] xyxy of one cell's anchors around the origin."""
    stride: int
    height: int
    """Height and width of the grid, in cells."""
    width: int
    offset: float
    """Position of a cell's centre inside it, as a share of the step (0.5: the middle)."""
    step: tuple[int, int]
    """Pixels from cell to cell, (y, x): the stride, unless another implementation's rule is asked for."""


class HeadOutputs(NamedTuple):
    """Raw outputs of a dense head, with the anchors they refer to (their frame of reference)."""

    cls_logits: tuple[Tensor, ...]
    """L tensors [B, H * W * A, K]."""
    bbox_deltas: tuple[Tensor, ...]
    """L tensors [B, H * W * A, 4]."""
    anchors: tuple[AnchorLevel, ...]


class LossOutput(NamedTuple):
    """``losses`` are summed and minimised; ``stats`` are logged as they come."""

    losses: dict[str, Tensor]
    stats: dict[str, Tensor]
    totals: Mapping[str, Tensor] = MappingProxyType({})
    """Summed over an epoch and logged at its end."""
    inspect: Callable[[], dict[str, Tensor]] | None = None
    """More stats, which cost something: to be called at once, every so often, or not at all, as it holds the
    outputs."""


class Candidates(NamedTuple):
    """Best-scoring boxes of every picture before NMS; empty places have score 0."""

    boxes: Tensor
    """[B, C, 4] xyxy in canvas pixels."""
    scores: Tensor
    """[B, C]."""
    labels: Tensor
    """[B, C] int64."""


class BatchDetections(NamedTuple):
    """Detections of a batch in canvas pixels, best first; places from ``count`` on are empty (score 0)."""

    boxes: Tensor
    """[B, D, 4] xyxy."""
    scores: Tensor
    """[B, D]."""
    labels: Tensor
    """[B, D] int64."""
    count: Tensor  # type: ignore[assignment]  # hides tuple's own count()
    """[B] int64."""


class ClassNames(NamedTuple):
    """The classes in model order, with the ids they bear in the data set's own files."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


class GroundTruth(NamedTuple):
    """A whole data set's labels as columns, for evaluation, in the original pictures' pixels.

    Row p's boxes are ``boxes[offsets[p]:offsets[p + 1]]``.
    """

    image_ids: Array
    """[P] int64."""
    heights: Array
    """[P] int64."""
    widths: Array
    """[P] int64."""
    offsets: Array
    """[P + 1] int64."""
    boxes: Array
    """[N, 4] float64 xyxy."""
    labels: Array
    """[N] int64 class indices."""
    crowd: Array
    """[N] bool."""
    area: Array
    """[N] float64: the file's area where it gives one (COCO: the mask's), else width * height."""
    classes: ClassNames


class Head(Protocol):
    """Pyramid features -> raw outputs."""

    def __call__(self, features: Sequence[Tensor]) -> HeadOutputs: ...


class Criterion(Protocol):
    """Raw outputs and ground truth -> losses. Knows nothing of the engine."""

    def __call__(self, outputs: Any, targets: Sequence[Target]) -> LossOutput: ...


class Decoder(Protocol):
    """Raw outputs -> candidates, of a fixed number, before NMS."""

    def __call__(self, outputs: Any, image_size: tuple[int, int]) -> Candidates: ...


class Evaluator(Protocol):
    """Collects detections over a data set and reduces them to named numbers."""

    def reset(self) -> None: ...

    def update(self, detections: BatchDetections, batch: Batch) -> None: ...

    def compute(self) -> Mapping[str, float | None]: ...
