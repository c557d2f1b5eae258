"""Section ``model.losses``: which anchors are objects, what they cost, and which of them count."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foveal.config.section import Positive, Section, Share, fail


class IouAssigner(Section):
    """RetinaNet's rule."""

    name: Literal["iou"] = "iou"
    fg_iou_thresh: Share = Field(0.5, description="IoU from which an anchor is an object")
    bg_iou_thresh: Share = Field(0.4, description="IoU below which an anchor is background; between: ignored")
    allow_low_quality: bool = Field(True, description="each box gets its best anchors, whatever their IoU")

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Self:
        if self.bg_iou_thresh > self.fg_iou_thresh:
            message = (
                f"{self.bg_iou_thresh} is above fg_iou_thresh ({self.fg_iou_thresh}); it must not exceed it"
            )
            raise fail("bg_iou_thresh", message)
        return self


class AtssAssigner(Section):
    """Adaptive training sample selection (Zhang et al. 2020)."""

    name: Literal["atss"]
    topk: int = Field(9, gt=0, description="nearest anchors taken per level")


class FocalLoss(Section):
    """Focal loss (paper, equation 5)."""

    name: Literal["focal"] = "focal"
    focal_alpha: Share | list[Share] | Literal["auto"] = Field(
        0.25,
        description="weight of objects against background, one number or one per class; auto: per class, from the "
        "number of its boxes in training",
    )
    focal_gamma: float = Field(2.0, ge=0)
    weight: float = Field(1.0, ge=0)


class CrossEntropy(Section):
    """Binary cross entropy of every class (paper, equation 1); with alpha the balanced one (equation 3)."""

    name: Literal["cross_entropy"]
    alpha: Share | list[Share] | Literal["auto"] | None = Field(
        None,
        description="weight of objects against background, one number or one per class; null: both 1; auto: as "
        "focal_alpha",
    )
    weight: float = Field(1.0, ge=0)


class QualityFocalLoss(Section):
    """Focal loss with the box's IoU as the target score (Li et al. 2020)."""

    name: Literal["quality_focal"]
    focal_gamma: float = Field(2.0, ge=0)
    weight: float = Field(1.0, ge=0)


class SsdMining(Section):
    """Hard negative mining: all objects of a picture and the worst of its negatives (Liu et al. 2016)."""

    name: Literal["ssd"]
    negatives_per_positive: Positive = 3.0


class OhemMining(Section):
    """Online hard example mining with NMS, as the focal loss was compared with it (paper, table 1d)."""

    name: Literal["ohem"]
    examples: int = Field(512, gt=0, description="anchors of a picture that count")
    nms_thresh: Share = Field(0.7, description="IoU above which the anchor with the smaller loss is left out")
    negatives_per_positive: Positive | None = Field(
        None, description="forced ratio after NMS (paper: 3); null: as it comes"
    )


class BoxLoss(Section):
    """Regression loss of the positives."""

    name: Literal["l1", "smooth_l1", "giou", "diou", "ciou"] = "l1"
    beta: Positive = Field(1 / 9, description="smooth L1: where the quadratic part ends")
    weight: float = Field(1.0, ge=0)


class Losses(Section):
    """Assignment and losses."""

    assigner: Annotated[IouAssigner | AtssAssigner, Field(discriminator="name")] = IouAssigner()
    classification: Annotated[FocalLoss | CrossEntropy | QualityFocalLoss, Field(discriminator="name")] = (
        FocalLoss()
    )
    mining: Annotated[SsdMining | OhemMining, Field(discriminator="name")] | None = Field(
        None, description="which anchors count in the classification loss; null: all"
    )
    box: BoxLoss = BoxLoss()
    normalizer: Literal["batch_positives", "image_positives", "ema_positives"] = Field(
        "batch_positives",
        description="what losses are divided by: the positives of the micro-batch (of all processes), each "
        "picture's by its own, or a running mean of the batches' (starts at 100, momentum 0.9)",
    )
