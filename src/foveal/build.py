"""Configuration -> objects: the only room that knows every name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

import torch

from foveal.config import schema
from foveal.config.load import data_of
from foveal.data.coco import read_coco
from foveal.data.csv_table import read_csv
from foveal.data.flags import Flags
from foveal.data.loader import Loader, make_loader
from foveal.data.records import Records, with_classes
from foveal.data.shapes import make_shapes
from foveal.data.tiled import numbered_tiles, tile_records
from foveal.data.voc import read_voc
from foveal.data.yolo import read_yolo
from foveal.engine.device import rank, world_size
from foveal.errors import ConfigWarning, UsageError
from foveal.heads.anchor_decoupled import AnchorCriterion, AnchorDecoder, AnchorDecoupledHead
from foveal.heads.anchor_decoupled.criterion import ClassLoss, Miner, cross_entropy, focal, quality_focal
from foveal.heads.anchor_decoupled.targets import Assigner
from foveal.models.backbone import Backbone
from foveal.models.detector import Detector
from foveal.models.fpn import FeaturePyramid
from foveal.models.frozen_norm import FrozenBatchNorm2d
from foveal.models.inference import InferenceModel
from foveal.ops.anchors import AnchorRule
from foveal.ops.atss import match_atss
from foveal.ops.box_coder import BoxCoder, CentreCoder, CornerCoder
from foveal.ops.class_balance import alpha_of_classes
from foveal.ops.letterbox import canvas_size
from foveal.ops.matcher import match_iou
from foveal.ops.mining import hard_negatives, hardest_examples
from foveal.ops.tiles import Tiling
from foveal.types import AnchorLevel


def build_records(source: schema.Source, classes: list[str] | None = None, strict: bool = False) -> Records:
    """Read one split. classes: names in model order; None takes those of the labels."""
    if isinstance(source, schema.ShapesSource):
        shapes = make_shapes(source.pictures, source.classes, source.size, source.seed, source.empty_share)
        return shapes if classes is None else with_classes(shapes, classes)
    labels, images = Path(source.annotations), _path(source.images)
    if isinstance(source, schema.CocoSource):
        return read_coco(labels, images, classes, strict, Flags(crowd=source.crowd))
    split = _path(source.split)
    if isinstance(source, schema.VocSource):
        flags = Flags(source.difficult, source.truncated, source.occluded)
        return read_voc(labels, images, split, source.voc_corners, classes, strict, flags)
    if isinstance(source, schema.YoloSource):
        return read_yolo(labels, images, source.part, split, classes, strict, source.class_names())
    if isinstance(source, schema.CsvSource):
        flags = Flags(source.difficult, source.truncated, source.occluded, source.crowd)
        return read_csv(
            labels,
            images,
            split,
            source.part,
            source.columns,
            source.corners,
            source.units,
            classes,
            strict,
            flags,
        )
    assert_never(source)


def build_loader(records: Records, config: schema.Config, train: bool) -> Loader:
    """Batches of one split, augmented and shuffled where ``train``; of its tiles, where the data is tiled."""
    data = data_of(config)
    return make_loader(
        as_seen(records, data, train),
        canvas_size(*data.image_size),
        config.training.batch_size,
        augment=data.augment if train else None,
        train=train,
        seed=config.training.seed,
        workers=data.workers,
        class_aware=data.class_aware_sampling and train,
        strict=data.strict,
        rank=rank(),
        world_size=world_size(),
    )


def build_tiling(tiles: schema.Tiles | None) -> Tiling | None:
    """How pictures are cut; None: they are not."""
    if tiles is None:
        return None
    height, width = tiles.size if isinstance(tiles.size, tuple) else (tiles.size, tiles.size)
    return Tiling(height, width, tiles.overlap)


def as_seen(records: Records, data: schema.Data, train: bool) -> Records:
    """What is put on the canvas: the pictures, or their tiles.

    UsageError where ``train`` and no tile would have an object.
    """
    tiles, tiling = data.tiles, build_tiling(data.tiles)
    if tiles is None or tiling is None:
        return records
    if train:
        tiled = tile_records(records, tiling, tiles.min_visible, tiles.keep_empty)
        if tiled.crowd.all():
            raise UsageError(
                f"data.tiles: no tile shows {tiles.min_visible:g} of a box, so there is nothing to learn; "
                "take a larger data.tiles.size or a smaller data.tiles.min_visible"
            )
        return tiled
    return numbered_tiles(records, tiling, tiles.min_visible)


def build_detector(model: schema.Model, num_classes: int, pretrained: bool = True) -> Detector:
    """The network. pretrained: False leaves the backbone's weights random (a checkpoint follows).

    UsageError where the model's settings do not fit the number of classes. ConfigWarning where batch norm is
    frozen over weights that nobody has trained.
    """
    _check_alpha(model.losses.classification, num_classes)
    backbone_params = model.architecture.backbone.params
    neck_params = model.architecture.neck.params
    head_params = model.architecture.head.params
    backbone = Backbone(
        model.architecture.backbone.name,
        backbone_params.weights if pretrained else None,
        backbone_params.c5,
        backbone_params.batch_norm,
        neck_params.min_level,
        backbone_params.stride_in_1x1,
        backbone_params.pool_padding,
    )
    random = pretrained and backbone_params.weights is None
    if random and any(isinstance(module, FrozenBatchNorm2d) for module in backbone.modules()):
        warnings.warn(
            "model.architecture.backbone.params: batch_norm: frozen keeps the statistics of weights: null, which "
            "are not those of any picture; set batch_norm: trained, or give weights",
            ConfigWarning,
            stacklevel=2,
        )
    levels = len(head_params.anchor_sizes)
    neck = FeaturePyramid(
        backbone.channels,
        neck_params.out_channels,
        levels,
        neck_params.extra_convs,
        neck_params.relu_before_extra_convs,
        neck_params.norm_type,
        neck_params.extra_padding,
    )
    strides = [2 ** (neck_params.min_level + i) for i in range(levels)]
    head = _head(head_params, neck_params.out_channels, num_classes, strides)
    pixels = model.architecture.pixels
    mean = [value / 255 for value in pixels.mean] if pixels.mean else _in_order(backbone.mean, pixels.order)
    std = [value / 255 for value in pixels.std] if pixels.std else _in_order(backbone.std, pixels.order)
    return Detector(backbone, neck, head, strides, mean, std, pixels.order)


def build_anchors(model: schema.Model, canvas: tuple[int, int]) -> tuple[AnchorLevel, ...]:
    """The anchors that the network lays on a canvas (height, width), level by level; no network is built."""
    params, first = model.architecture.head.params, model.architecture.neck.params.min_level
    strides = [2 ** (first + i) for i in range(len(params.anchor_sizes))]
    grids = [torch.empty(1, 1, -(-canvas[0] // stride), -(-canvas[1] // stride)) for stride in strides]
    with torch.random.fork_rng(devices=[]):  # the head's initial weights must not move a run's random numbers
        head = _head(params.model_copy(update={"num_layers": 0}), 1, 1, strides)
    return head.anchors(grids)


def _head(
    params: schema.HeadParams, channels: int, num_classes: int, strides: Sequence[int]
) -> AnchorDecoupledHead:
    return AnchorDecoupledHead(
        channels,
        num_classes,
        strides,
        params.scaled_sizes(),
        params.aspect_ratios,
        params.num_layers,
        params.norm_type,
        params.prior_prob,
        anchor_rule(params),
    )


def anchor_rule(params: schema.HeadParams) -> AnchorRule:
    """How the settings of a head lay its anchors."""
    return AnchorRule(
        params.anchor_offset,
        params.anchor_order,
        params.anchor_rounding,
        params.anchor_corners,
        params.anchor_step,
    )


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
        _coder(model),
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


def build_inference(detector: Detector, model: schema.Model) -> InferenceModel:
    """Detector with decoder and NMS."""
    params = model.postprocessor.params
    decoder = AnchorDecoder(params.topk_candidates, params.score_thresh, _coder(model))
    return InferenceModel(
        detector, decoder, params.nms_thresh, params.class_agnostic, params.detections_per_img
    )


def _coder(model: schema.Model) -> BoxCoder:
    coder = model.architecture.head.params.box_coder
    return CornerCoder(coder.std) if isinstance(coder, schema.CornerCoder) else CentreCoder(coder.weights)


def _in_order(rgb: Sequence[float], order: str) -> Sequence[float]:
    return rgb[::-1] if order == "bgr" else rgb


def build_assigner(assigner: schema.IouAssigner | schema.AtssAssigner) -> Assigner:
    """The rule by which anchors are objects."""
    if isinstance(assigner, schema.AtssAssigner):
        return partial(match_atss, topk=assigner.topk)
    return partial(
        match_iou,
        fg_iou_thresh=assigner.fg_iou_thresh,
        bg_iou_thresh=assigner.bg_iou_thresh,
        allow_low_quality=assigner.allow_low_quality,
    )


ClassLossSettings = schema.FocalLoss | schema.CrossEntropy | schema.QualityFocalLoss


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


def _check_alpha(loss: ClassLossSettings, num_classes: int) -> None:
    name = _alpha_name(loss)
    alpha = getattr(loss, name, None)
    if isinstance(alpha, list) and len(alpha) != num_classes:
        raise UsageError(
            f"model.losses.classification.{name}: {len(alpha)} numbers for {num_classes} classes; give one "
            "number for all, or one per class in model order"
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
