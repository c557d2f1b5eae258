"""Outputs and ground truth -> losses (paper, section 3; section 4, "Training")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from foveal.heads.anchor_decoupled.targets import Assigner, Assignment, assign
from foveal.ops.box_coder import decode_boxes, encode_boxes
from foveal.ops.box_loss import giou_loss, l1_loss, smooth_l1_loss
from foveal.ops.focal_loss import quality_focal_loss, sigmoid_focal_loss
from foveal.ops.iou import box_iou
from foveal.types import IGNORE, AnchorLevel, HeadOutputs, LossOutput, Target

ClassLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(cls_logits [n, K], labels [n], quality [p] of the rows with label >= 0) -> sum."""
BoxLossName = Literal["l1", "smooth_l1", "giou"]


def focal(alpha: float | list[float] = 0.25, gamma: float = 2.0) -> ClassLoss:
    """Focal loss as a class loss of the criterion; alpha is one number or one per class."""
    weight = torch.tensor(alpha) if isinstance(alpha, list) else alpha
    return lambda logits, labels, _: sigmoid_focal_loss(logits, labels, weight, gamma)


def quality_focal(gamma: float = 2.0) -> ClassLoss:
    """Quality focal loss: the target score of an object is the IoU that its own box reaches."""
    return lambda logits, labels, quality: quality_focal_loss(logits, labels, quality, gamma)


class AnchorCriterion:
    """Class loss over all anchors plus box loss over objects, divided by the number of objects.

    normalizer: ``batch_positives`` divides by the objects of the global batch (all processes; one
    micro-batch); ``image_positives`` divides each picture by its own and averages over pictures.
    """

    def __init__(
        self,
        assigner: Assigner,
        class_loss: ClassLoss,
        class_weight: float = 1.0,
        box_loss: BoxLossName = "l1",
        box_weight: float = 1.0,
        beta: float = 1 / 9,
        normalizer: Literal["batch_positives", "image_positives"] = "batch_positives",
    ) -> None:
        self.assigner = assigner
        self.class_loss = class_loss
        self.class_weight = class_weight
        self.box_loss = box_loss
        self.box_weight = box_weight
        self.beta = beta
        self.normalizer = normalizer

    def __call__(self, outputs: HeadOutputs, targets: Sequence[Target]) -> LossOutput:
        """outputs of B pictures, one target each. Losses by name: ``cls`` and ``box``."""
        assignment = assign(outputs.anchors, targets, self.assigner)
        stats = _stats(assignment.labels, outputs.anchors)
        if self.normalizer == "batch_positives":
            cls, box = self._sums(outputs, assignment)
            positives = _mean_over_processes((assignment.labels >= 0).sum().to(cls.dtype)).clamp(min=1)
            cls, box = cls / positives, box / positives
        else:
            cls, box = self._mean_of_pictures(outputs, assignment)
        losses = {"cls": cls * self.class_weight, "box": box * self.box_weight}
        return LossOutput(losses, stats)

    def _mean_of_pictures(self, outputs: HeadOutputs, assignment: Assignment) -> tuple[Tensor, Tensor]:
        counts = (assignment.labels >= 0).sum(dim=1)
        sums = []
        for i, boxes in enumerate(assignment.boxes.split(counts.tolist())):
            one = slice(i, i + 1)
            picture = HeadOutputs(
                tuple(x[one] for x in outputs.cls_logits),
                tuple(x[one] for x in outputs.bbox_deltas),
                outputs.anchors,
            )
            sums.append(torch.stack(self._sums(picture, Assignment(assignment.labels[one], boxes))))
        mean = (torch.stack(sums) / counts.clamp(min=1)[:, None]).mean(dim=0)
        return mean[0], mean[1]

    def _sums(self, outputs: HeadOutputs, assignment: Assignment) -> tuple[Tensor, Tensor]:
        """Class and box loss, summed over the given pictures. Levels are never joined."""
        sizes = [len(level.boxes) for level in outputs.anchors]
        per_level = assignment.labels.split(sizes, dim=1)
        deltas, anchors = _objects(outputs, per_level)
        # Objects arrive level by level here, picture by picture in the assignment: bring both together.
        boxes = assignment.boxes[_level_order(assignment.labels, sizes)]
        decoded = decode_boxes(deltas, anchors)
        box = self._box_loss(deltas, decoded, anchors, boxes).sum()
        quality = box_iou(decoded.detach(), boxes).clamp(0, 1)
        counts = [int((labels >= 0).sum()) for labels in per_level]
        cls = [
            self.class_loss(logits.flatten(0, 1), labels.flatten(), iou)
            for logits, labels, iou in zip(outputs.cls_logits, per_level, quality.split(counts), strict=True)
        ]
        return torch.stack(cls).sum(), box

    def _box_loss(self, deltas: Tensor, decoded: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
        if self.box_loss == "giou":
            return giou_loss(decoded, boxes)
        target = encode_boxes(boxes, anchors)
        return l1_loss(deltas, target) if self.box_loss == "l1" else smooth_l1_loss(deltas, target, self.beta)


def _objects(outputs: HeadOutputs, labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Deltas and anchors [P, 4] of the objects, level by level, in float32 (float64 stays)."""
    deltas, anchors = [], []
    for level, prediction, label in zip(outputs.anchors, outputs.bbox_deltas, labels, strict=True):
        picture, place = torch.nonzero(label >= 0, as_tuple=True)
        chosen = prediction[picture, place]
        deltas.append(chosen if chosen.dtype == torch.float64 else chosen.float())
        anchors.append(level.boxes[place])
    return torch.cat(deltas), torch.cat(anchors)


def _level_order(labels: Tensor, sizes: list[int]) -> Tensor:
    """[P] where each object, counted level by level, stands when counted picture by picture."""
    place = (labels >= 0).flatten().cumsum(0).view_as(labels) - 1
    return torch.cat(
        [p[label >= 0] for p, label in zip(place.split(sizes, 1), labels.split(sizes, 1), strict=True)]
    )


def _mean_over_processes(value: Tensor) -> Tensor:
    """Mean over processes: gradients are averaged there, so this makes them equal to one big batch's."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value)
        value = value / dist.get_world_size()
    return value


@torch.no_grad()
def _stats(labels: Tensor, levels: Sequence[AnchorLevel]) -> dict[str, Tensor]:
    """Per picture: objects, objects per level, ignored anchors."""
    objects = (labels >= 0).float()
    stats = {
        "positives": objects.sum(dim=1).mean(),
        "ignored": (labels == IGNORE).float().sum(dim=1).mean(),
    }
    per_level = objects.split([len(level.boxes) for level in levels], dim=1)
    for level, share in zip(levels, per_level, strict=True):
        stats[f"positives_stride_{level.stride}"] = share.sum(dim=1).mean()
    return stats
