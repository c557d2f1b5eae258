"""Settings of the losses -> criterion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from foveal.build.anchors import build_assigner, build_coder
from foveal.config import schema
from foveal.errors import UsageError
from foveal.heads.anchor_decoupled import AnchorCriterion
from foveal.heads.anchor_decoupled.criterion import ClassLoss, Miner, cross_entropy, focal, quality_focal
from foveal.ops.class_balance import alpha_of_classes
from foveal.ops.mining import hard_negatives, hardest_examples

ClassLossSettings = schema.FocalLoss | schema.CrossEntropy | schema.QualityFocalLoss


def build_criterion(model: schema.Model) -> AnchorCriterion:
    """Assignment and losses."""
    losses = model.losses
    return AnchorCriterion(
        build_assigner(losses.assigner),
        _class_loss(losses.classification),
        losses.classification.weight,
        losses.box.name,
        losses.box.weight,
        losses.box.beta,
        losses.normalizer,
        _miner(losses.mining),
        build_coder(model),
    )


def with_class_balance(model: schema.Model, boxes: Sequence[int]) -> schema.Model:
    """The model with ``alpha: auto`` replaced by numbers. boxes: of each class in training, in model order."""
    loss = model.losses.classification
    name = _alpha_name(loss)
    if getattr(loss, name, None) != "auto":
        return model
    chosen = loss.model_copy(update={name: alpha_of_classes(boxes)})
    losses = model.losses.model_copy(update={"classification": chosen})
    return model.model_copy(update={"losses": losses})


def check_alpha(loss: ClassLossSettings, num_classes: int) -> None:
    name = _alpha_name(loss)
    alpha = getattr(loss, name, None)
    if isinstance(alpha, list) and len(alpha) != num_classes:
        raise UsageError(
            f"model.losses.classification.{name}: {len(alpha)} numbers for {num_classes} classes; give one "
            "number for all, or one per class in model order"
        )


def _alpha_name(loss: ClassLossSettings) -> str:
    return "focal_alpha" if isinstance(loss, schema.FocalLoss) else "alpha"


def _class_loss(loss: ClassLossSettings) -> ClassLoss:
    if isinstance(loss, schema.QualityFocalLoss):
        return quality_focal(loss.focal_gamma)
    alpha = getattr(loss, _alpha_name(loss))
    if alpha == "auto":
        raise ValueError("alpha is auto: with_class_balance puts the numbers in its place")
    return cross_entropy(alpha) if isinstance(loss, schema.CrossEntropy) else focal(alpha, loss.focal_gamma)


def _miner(mining: schema.SsdMining | schema.OhemMining | None) -> Miner | None:
    if isinstance(mining, schema.SsdMining):
        return lambda losses, labels, _: hard_negatives(losses, labels, mining.negatives_per_positive)
    if isinstance(mining, schema.OhemMining):
        return partial(
            hardest_examples,
            examples=mining.examples,
            nms_thresh=mining.nms_thresh,
            per_positive=mining.negatives_per_positive,
        )
    return None
