"""Outputs and ground truth -> losses (paper, section 3; section 4, "Training")."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from foveal.errors import ConfigWarning
from foveal.heads.anchor_decoupled import statistics
from foveal.heads.anchor_decoupled.targets import Assigner, Assignment, assign
from foveal.ops.box_coder import BoxCoder, CentreCoder
from foveal.ops.box_loss import ciou_loss, diou_loss, giou_loss, l1_loss, smooth_l1_loss
from foveal.ops.fixed_size import needs_fixed_size
from foveal.ops.focal_loss import quality_focal_loss, sigmoid_focal_loss
from foveal.ops.fused_focal import compiler_works, fused_focal_loss, fused_quality_focal_loss
from foveal.ops.iou import box_iou
from foveal.ops.mining import cross_entropy_of_anchors
from foveal.types import AnchorLevel, HeadOutputs, LossOutput, Target

Miner = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(losses [N] of one picture's anchors, labels [N], anchors [N, 4]) -> labels, IGNORE where left out."""
ClassLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(cls_logits [n, K], labels [n], quality [n], read where label >= 0) -> sum."""
BoxLossName = Literal["l1", "smooth_l1", "giou", "diou", "ciou"]
Normalizer = Literal["batch_positives", "image_positives", "ema_positives"]
EMA_START, EMA_MOMENTUM = 100.0, 0.9
"""detectron2's: the normaliser before the first batch, and the share of the old value in each new one."""
OF_BOXES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}
"""Box losses that look at decoded boxes; the others look at deltas."""


def focal(alpha: float | list[float] = 0.25, gamma: float = 2.0) -> ClassLoss:
    """Focal loss as a class loss of the criterion; alpha is one number or one per class."""
    weight = torch.tensor(alpha) if isinstance(alpha, list) else alpha

    def loss(logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
        chosen = fused_focal_loss if fuses(logits.device.type) else sigmoid_focal_loss
        return chosen(logits, labels, weight, gamma)

    return loss


def cross_entropy(alpha: float | list[float] | None = None) -> ClassLoss:
    """Binary cross entropy of every class (paper, equation 1); alpha: balanced by it (equation 3)."""
    # With weights of a half for both sides, and no focusing, the focal loss is half of it.
    plain = focal(0.5 if alpha is None else alpha, 0.0)
    if alpha is not None:
        return plain
    return lambda logits, labels, quality: plain(logits, labels, quality) * 2


def quality_focal(gamma: float = 2.0) -> ClassLoss:
    """Quality focal loss: the target score of an object is the IoU that its own box reaches."""

    def loss(logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        chosen = fused_quality_focal_loss if fuses(logits.device.type) else quality_focal_loss
        return chosen(logits, labels, quality, gamma)

    return loss


@cache
def fuses(device: str) -> bool:
    """Whether the class loss is compiled into one kernel: on CUDA, where a compiler works (ConfigWarning if not).

    On the CPU compiling could save a fiftieth of a step, and takes itself the time of several.
    """
    if device != "cuda":
        return False
    if not compiler_works(device):
        warnings.warn(
            "torch.compile does not work on this machine (Triton needs a C compiler): "
            "the class loss is computed in several kernels instead of one",
            ConfigWarning,
            stacklevel=2,
        )
        return False
    return True


class AnchorCriterion(nn.Module):
    """Class loss over all anchors plus box loss over objects, divided by the number of objects.

    normalizer: ``batch_positives`` divides by the objects of the global batch (in training those of all processes;
    one micro-batch); ``image_positives`` divides each picture by its own and averages over pictures;
    ``ema_positives`` divides by a running mean of the batches' objects (detectron2), which only training moves.
    Of P processes each divides by a P-th of that number, as their gradients are averaged.
    miner: chooses the anchors of the class loss; box loss and normaliser stay with all objects.
    """

    running_positives: Tensor

    def __init__(
        self,
        assigner: Assigner,
        class_loss: ClassLoss,
        class_weight: float = 1.0,
        box_loss: BoxLossName = "l1",
        box_weight: float = 1.0,
        beta: float = 1 / 9,
        normalizer: Normalizer = "batch_positives",
        miner: Miner | None = None,
        coder: BoxCoder | None = None,
    ) -> None:
        super().__init__()
        self.assigner = assigner
        self.class_loss = class_loss
        self.class_weight = class_weight
        self.box_loss = box_loss
        self.box_weight = box_weight
        self.beta = beta
        self.normalizer = normalizer
        self.miner = miner
        self.coder: BoxCoder = coder or CentreCoder()
        self.register_buffer("running_positives", torch.tensor(EMA_START))

    def forward(self, outputs: HeadOutputs, targets: Sequence[Target]) -> LossOutput:
        """outputs of B pictures, one target each. Losses by name: ``cls`` and ``box``."""
        assignment = assign(outputs.anchors, targets, self.assigner)
        counted = (
            assignment.labels if self.miner is None else self._mine(self.miner, outputs, assignment.labels)
        )
        if self.normalizer == "image_positives":
            cls, box = self._mean_of_pictures(outputs, assignment, counted)
        else:
            cls, box = self._sums(outputs, assignment, counted)
            positives = self._positives(assignment.labels, cls.dtype)
            cls, box = cls / positives, box / positives
        losses = {"cls": cls * self.class_weight, "box": box * self.box_weight}
        return LossOutput(
            losses,
            statistics.of_assignment(assignment, targets, outputs.anchors),
            {"positives_of_class": statistics.positives_of_class(assignment.labels, outputs)},
            partial(self._shares, outputs, assignment, counted),
        )

    @torch.no_grad()
    def _shares(self, outputs: HeadOutputs, assignment: Assignment, counted: Tensor) -> dict[str, Tensor]:
        """Whose the class loss is, by ``statistics.class_loss_parts``, as shares of the whole."""
        sizes = [len(level.boxes) for level in outputs.anchors]
        parts = (x.split(sizes, dim=1) for x in (assignment.labels, assignment.box, counted))
        sums = []
        for logits, deltas, level, label, row, cls_label in zip(*outputs, *parts, strict=True):
            _, quality = self._box_sum(deltas, level, label, assignment.boxes, row)
            entries = logits.flatten(0, 1), cls_label.flatten(), quality.flatten()
            sums.append(statistics.class_loss_parts(self.class_loss, *entries))
        return statistics.shares(torch.stack(sums).sum(dim=0))

    @torch.no_grad()
    def _positives(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """What the losses of a process' batch are divided by."""
        positives = (labels >= 0).sum().to(dtype)
        if not self.training:
            # Each process looks at batches of its own then, and not all at as many.
            running = (self.running_positives / _processes()).to(positives)
            return positives.clamp(min=1) if self.normalizer == "batch_positives" else running
        positives = _sum_over_processes(positives).clamp(min=1)
        if self.normalizer == "ema_positives":
            self.running_positives.lerp_(positives.to(self.running_positives), 1 - EMA_MOMENTUM)
            positives = self.running_positives.to(positives)
        return positives / _processes()

    @torch.no_grad()
    def _mine(self, miner: Miner, outputs: HeadOutputs, labels: Tensor) -> Tensor:
        """Labels [B, N] of the class loss."""
        anchors = torch.cat([level.boxes for level in outputs.anchors])
        sizes = [len(level.boxes) for level in outputs.anchors]
        mined = []
        for picture, label in enumerate(labels):
            levels = zip(outputs.cls_logits, label.split(sizes), strict=True)
            losses = torch.cat([cross_entropy_of_anchors(logits[picture], part) for logits, part in levels])
            mined.append(miner(losses, label, anchors))
        return torch.stack(mined)

    def _mean_of_pictures(
        self, outputs: HeadOutputs, assignment: Assignment, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        pictures = zip(
            zip(*(logits.split(1) for logits in outputs.cls_logits), strict=True),
            zip(*(deltas.split(1) for deltas in outputs.bbox_deltas), strict=True),
            assignment.labels.split(1),
            assignment.box.split(1),
            counted.split(1),
            strict=True,
        )
        sums = []
        for logits, deltas, labels, box, part in pictures:
            alone = Assignment(labels, box, assignment.boxes)
            cls_box = self._sums(HeadOutputs(logits, deltas, outputs.anchors), alone, part)
            sums.append(torch.stack(cls_box) / (labels >= 0).sum().clamp(min=1))
        mean = torch.stack(sums).mean(dim=0)
        return mean[0], mean[1]

    def _sums(self, outputs: HeadOutputs, assignment: Assignment, counted: Tensor) -> tuple[Tensor, Tensor]:
        """Class and box loss, summed over the given pictures; counted: labels [B, N] of the class loss.

        Levels are never joined.
        """
        sizes = [len(level.boxes) for level in outputs.anchors]
        parts = (x.split(sizes, dim=1) for x in (assignment.labels, assignment.box, counted))
        cls, box = [], []
        for logits, deltas, level, label, row, cls_label in zip(*outputs, *parts, strict=True):
            loss, quality = self._box_sum(deltas, level, label, assignment.boxes, row)
            box.append(loss)
            cls.append(self.class_loss(logits.flatten(0, 1), cls_label.flatten(), quality.flatten()))
        return torch.stack(cls).sum(), torch.stack(box).sum()

    def _box_sum(
        self, deltas: Tensor, level: AnchorLevel, labels: Tensor, boxes: Tensor, box: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Box loss of a level's objects, summed, and the IoU that each of them reaches [B, n], in float32.

        deltas: [B, n, 4], float64 stays; boxes: [M, 4]; box: [B, n] row of ``boxes`` of each object.
        """
        rows = _rows(labels)
        counts = labels[rows] >= 0
        anchors = level.boxes.expand(len(labels), -1, 4)[rows]
        delta = deltas[rows] if deltas.dtype == torch.float64 else deltas[rows].float()
        # What is no object stands on its anchor: any value is finite there, and none has a gradient.
        delta = torch.where(counts[..., None], delta, 0)
        target = torch.where(counts[..., None], boxes[box[rows]], anchors)
        decoded = self.coder.decode(delta, anchors)
        loss = torch.where(counts, self._box_loss(delta, decoded, anchors, target), 0).sum()
        iou = box_iou(decoded.detach(), target).clamp(0, 1)
        quality = iou.new_zeros(labels.shape)
        quality[rows] = iou
        return loss, quality

    def _box_loss(self, deltas: Tensor, decoded: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
        if self.box_loss in OF_BOXES:
            return OF_BOXES[self.box_loss](decoded, boxes)
        target = self.coder.encode(boxes, anchors)
        return l1_loss(deltas, target) if self.box_loss == "l1" else smooth_l1_loss(deltas, target, self.beta)


def _rows(labels: Tensor) -> tuple[Tensor, ...] | tuple[slice, slice]:
    """Index of a level's objects [B, n]; of all rows where sizes must not follow the data."""
    if needs_fixed_size(labels):
        return slice(None), slice(None)
    return torch.nonzero(labels >= 0, as_tuple=True)


def _processes() -> int:
    """How many take part in a training step."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _sum_over_processes(value: Tensor) -> Tensor:
    if _processes() > 1:
        dist.all_reduce(value)
    return value
