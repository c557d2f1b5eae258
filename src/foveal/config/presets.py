"""Settings as other implementations have them: a preset fills in what the file leaves out.

Each entry says where its facts are from. What is equal everywhere (IoU 0.5 / 0.4, focal loss 0.25 / 2, score over
0.05, NMS at 0.5) stands in the schema's defaults and is written here all the same, so that a preset is whole: a
later default of ours changes no preset. Backbone and its weights are the user's choice; how they must be built for
such weights is not.
"""

from __future__ import annotations

from typing import Any

from foveal.config.document import Document, Key, Origin
from foveal.config.fields import allowed, field_schema
from foveal.config.netspresso import Note
from foveal.errors import UsageError

Values = dict[str, Any]
MODEL: Key = ("model",)
PRESET: Key = (*MODEL, "preset")
SIDES = (32, 64, 128, 256, 512)
OCTAVES = tuple(2 ** (octave / 3) for octave in range(3))
EXACT_SIZES = [[side * octave for octave in OCTAVES] for side in SIDES]
WHOLE_SIZES = [[int(size) for size in level] for level in EXACT_SIZES]
CAFFE_MEAN = [103.939, 116.779, 123.68]
MSRA_MEAN = [103.53, 116.28, 123.675]


def _merged(values: Values, changes: Values) -> Values:
    """Nested values with changes; a part that names another kind is taken whole."""
    result = dict(values)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            same_kind = value.get("name", old.get("name")) == old.get("name")
            result[name] = _merged(old, value) if same_kind else value
        else:
            result[name] = value
    return result


def _preset(
    head: Values | None = None,
    neck: Values | None = None,
    backbone: Values | None = None,
    pixels: Values | None = None,
    losses: Values | None = None,
    postprocessor: Values | None = None,
) -> Values:
    changes = {
        "architecture": {
            "pixels": pixels or {},
            "backbone": {"params": backbone or {}},
            "neck": {"params": neck or {}},
            "head": {"params": head or {}},
        },
        "losses": losses or {},
        "postprocessor": {"params": postprocessor or {}},
    }
    return _merged(PAPER, changes)


PAPER: Values = {
    "architecture": {
        "pixels": {"order": "rgb", "mean": None, "std": None},
        "backbone": {"params": {"c5": "features", "stride_in_1x1": False, "pool_padding": "symmetric"}},
        "neck": {
            "params": {
                "min_level": 3,
                "out_channels": 256,
                "extra_convs": "on_input",
                "relu_before_extra_convs": True,
                "norm_type": "none",
                "extra_padding": "symmetric",
            }
        },
        "head": {
            "params": {
                "anchor_sizes": EXACT_SIZES,
                "octave_scales": [1.0],
                "aspect_ratios": [0.5, 1.0, 2.0],
                "anchor_offset": 0.5,
                "anchor_order": "ratio_major",
                "anchor_rounding": "none",
                "anchor_corners": "continuous",
                "anchor_step": "stride",
                "box_coder": {"name": "centre", "weights": [1.0, 1.0, 1.0, 1.0]},
                "num_layers": 4,
                "norm_type": "none",
                "prior_prob": 0.01,
            }
        },
    },
    "losses": {
        "assigner": {
            "name": "iou",
            "fg_iou_thresh": 0.5,
            "bg_iou_thresh": 0.4,
            "allow_low_quality": False,
        },
        "classification": {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 2.0, "weight": 1.0},
        "box": {"name": "smooth_l1", "beta": 1.0, "weight": 1.0},
        "normalizer": "batch_positives",
    },
    "postprocessor": {
        "params": {
            "topk_candidates": 1000,
            "score_thresh": 0.05,
            "nms_thresh": 0.5,
            "class_agnostic": False,
            "detections_per_img": 100,
        }
    },
}
"""Lin et al. 2017, section 4. Smooth L1 is Fast R-CNN's, whose quadratic part ends at 1 (the authors' Detectron:
at 0.11). Where anchors stand in a cell, and how many detections are kept, the paper leaves open."""

TORCHVISION_V1 = _preset(
    head={
        "anchor_sizes": WHOLE_SIZES,
        "anchor_offset": 0.0,
        "anchor_rounding": "whole",
        "anchor_step": "canvas",
    },
    neck={"extra_convs": "on_output"},
    losses={
        "assigner": {"allow_low_quality": True},
        "box": {"name": "l1"},
        "normalizer": "image_positives",
    },
    postprocessor={"detections_per_img": 300},
)
"""torchvision: models/detection/retinanet.py (``retinanet_resnet50_fpn``) and anchor_utils.py."""

PRESETS: dict[str, Values] = {
    "paper": PAPER,
    "torchvision_v1": TORCHVISION_V1,
    # The same file, ``retinanet_resnet50_fpn_v2``.
    "torchvision_v2": _merged(
        TORCHVISION_V1,
        {
            "architecture": {
                "neck": {"params": {"extra_convs": "on_input"}},
                "head": {"params": {"norm_type": "group_norm"}},
            },
            "losses": {"box": {"name": "giou"}},
        },
    ),
    # configs/Base-RetinaNet.yaml, modeling/meta_arch/retinanet.py, modeling/anchor_generator.py; its ResNets of
    # the "MSRA" weights (config/defaults.py: STRIDE_IN_1X1, PIXEL_MEAN, PIXEL_STD).
    "detectron2": _preset(
        head={"anchor_offset": 0.0, "anchor_order": "size_major"},
        backbone={"stride_in_1x1": True},
        pixels={"order": "bgr", "mean": MSRA_MEAN, "std": [1.0, 1.0, 1.0]},
        losses={
            "assigner": {"allow_low_quality": True},
            "box": {"name": "l1"},
            "normalizer": "ema_positives",
        },
    ),
    # configs/_base_/models/retinanet_r50_fpn.py.
    "mmdetection": _preset(
        head={"anchor_offset": 0.0},
        neck={"relu_before_extra_convs": False},
        losses={"assigner": {"allow_low_quality": True}, "box": {"name": "l1"}},
    ),
    # retinanet/model.py, box.py, loss.py.
    "odtk": _preset(
        head={"anchor_order": "size_major", "aspect_ratios": [1.0, 2.0, 0.5], "anchor_corners": "inclusive"},
        losses={"box": {"beta": 0.11}},
    ),
    # keras_retinanet/losses.py, utils/anchors.py, layers/filter_detections.py, models/retinanet.py; keras_resnet.
    "keras_retinanet": _preset(
        head={"box_coder": {"name": "corners", "std": 0.2}},
        neck={"extra_padding": "tensorflow"},
        backbone={"stride_in_1x1": True, "pool_padding": "tensorflow"},
        pixels={"order": "bgr", "mean": CAFFE_MEAN, "std": [1.0, 1.0, 1.0]},
        losses={"box": {"beta": 1 / 9}},
        postprocessor={"topk_candidates": None, "detections_per_img": 300},
    ),
    # retinanet/model.py, losses.py (a mean over the four deltas, where the others have a sum), utils.py.
    "yhenon": _preset(
        head={"box_coder": {"name": "centre", "weights": [10.0, 10.0, 5.0, 5.0]}},
        losses={"box": {"beta": 1 / 9, "weight": 0.25}, "normalizer": "image_positives"},
        postprocessor={"topk_candidates": None, "detections_per_img": None},
    ),
    # netspresso_trainer: models/heads/detection, losses/detection/retinanet.py.
    "netspresso": _preset(
        head={
            "anchor_sizes": [[32.0], [64.0], [128.0], [256.0]],
            "anchor_offset": 0.0,
            "anchor_rounding": "whole",
            "num_layers": 1,
            "norm_type": "batch_norm",
        },
        neck={"min_level": 2},
        losses={
            "assigner": {"allow_low_quality": True},
            "box": {"name": "l1"},
            "normalizer": "image_positives",
        },
        postprocessor={"detections_per_img": None},
    ),
}
"""Name -> the settings of section ``model`` that it gives."""


def fill(document: Document) -> list[Note]:
    """Writes the preset's values wherever the document has none: a note. UsageError for an unknown preset."""
    name = document.get(PRESET)
    if name is None:
        return []
    origin = document.origin(PRESET)
    if not isinstance(name, str) or name not in PRESETS:
        raise UsageError(
            f"{origin.place}: model.preset: {name!r} is not allowed; allowed: "
            f"{allowed(field_schema(PRESET, document) or {})}"
        )
    kept = _fill(document, MODEL, PRESETS[name], origin)
    own = f"; the file's own stay: {', '.join(kept)}" if kept else ""
    return [Note(f"{origin.place}: settings of {name}{own}")]


def _fill(document: Document, key: Key, values: Values, origin: Origin) -> list[str]:
    """The settings that the document has already and that differ, dotted below ``model``."""
    own = document.mapping(key)
    if "name" in values and own.get("name", values["name"]) != values["name"]:
        return [
            ".".join(str(step) for step in key[1:])
        ]  # another kind: none of these values is one of its own
    kept = []
    for name, value in values.items():
        inner = (*key, name)
        there = document.get(inner)
        if isinstance(value, dict) and (isinstance(there, dict) or inner not in document.origins):
            kept += _fill(document, inner, value, origin)
        elif inner not in document.origins:
            document.put(inner, value, origin)
        elif there != value:
            kept.append(".".join(str(step) for step in inner[1:]))
    return kept
