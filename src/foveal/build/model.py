"""Architecture and postprocessor -> network, and the network that detects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from foveal.build.anchors import build_coder, build_head
from foveal.build.losses import check_alpha
from foveal.config import schema
from foveal.errors import ConfigWarning
from foveal.heads.anchor_decoupled import AnchorDecoder
from foveal.models.backbone import Backbone
from foveal.models.detector import Detector
from foveal.models.fpn import FeaturePyramid
from foveal.models.frozen_norm import FrozenBatchNorm2d
from foveal.models.inference import InferenceModel


def build_detector(model: schema.Model, num_classes: int, pretrained: bool = True) -> Detector:
    """The network. pretrained: False leaves the backbone's weights random (a checkpoint follows).

    UsageError where the model's settings do not fit the number of classes. ConfigWarning where batch norm is
    frozen over weights that nobody has trained.
    """
    check_alpha(model.losses.classification, num_classes)
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
    head = build_head(head_params, neck_params.out_channels, num_classes, strides)
    pixels = model.architecture.pixels
    mean = [value / 255 for value in pixels.mean] if pixels.mean else _in_order(backbone.mean, pixels.order)
    std = [value / 255 for value in pixels.std] if pixels.std else _in_order(backbone.std, pixels.order)
    return Detector(backbone, neck, head, strides, mean, std, pixels.order)


def build_inference(detector: Detector, model: schema.Model) -> InferenceModel:
    """Detector with decoder and NMS."""
    params = model.postprocessor.params
    decoder = AnchorDecoder(params.topk_candidates, params.score_thresh, build_coder(model))
    return InferenceModel(
        detector, decoder, params.nms_thresh, params.class_agnostic, params.detections_per_img
    )


def _in_order(rgb: Sequence[float], order: str) -> Sequence[float]:
    return rgb[::-1] if order == "bgr" else rgb
