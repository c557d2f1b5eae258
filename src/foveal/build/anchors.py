"""The head's frame of reference: anchors, box coder, assignment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from foveal.config import schema
from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.heads.anchor_decoupled.targets import Assigner
from foveal.ops.anchors import AnchorRule
from foveal.ops.atss import match_atss
from foveal.ops.box_coder import BoxCoder, CentreCoder, CornerCoder
from foveal.ops.matcher import match_iou
from foveal.types import AnchorLevel


def build_anchors(model: schema.Model, canvas: tuple[int, int]) -> tuple[AnchorLevel, ...]:
    """The anchors that the network lays on a canvas (height, width), level by level; no network is built."""
    params, first = model.architecture.head.params, model.architecture.neck.params.min_level
    strides = [2 ** (first + i) for i in range(len(params.anchor_sizes))]
    grids = [torch.empty(1, 1, -(-canvas[0] // stride), -(-canvas[1] // stride)) for stride in strides]
    with torch.random.fork_rng(devices=[]):  # the head's initial weights must not move a run's random numbers
        head = build_head(params.model_copy(update={"num_layers": 0}), 1, 1, strides)
    return head.anchors(grids)


def build_head(
    params: schema.HeadParams, channels: int, num_classes: int, strides: Sequence[int]
) -> AnchorDecoupledHead:
    """The head, for maps of ``channels`` at the given strides."""
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


def build_coder(model: schema.Model) -> BoxCoder:
    """How boxes are told from anchors."""
    coder = model.architecture.head.params.box_coder
    return CornerCoder(coder.std) if isinstance(coder, schema.CornerCoder) else CentreCoder(coder.weights)


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
