"""Section ``model``: network, losses, and how outputs become detections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from foveal.config.architecture_settings import Architecture
from foveal.config.loss_settings import Losses
from foveal.config.section import Section, Share

PresetName = Literal[
    "paper",
    "torchvision_v1",
    "torchvision_v2",
    "detectron2",
    "mmdetection",
    "odtk",
    "keras_retinanet",
    "yhenon",
    "netspresso",
]


class PostprocessorParams(Section):
    """From raw outputs to detections."""

    topk_candidates: int | None = Field(
        1000, gt=0, description="kept per level before NMS, over anchors x classes; null: all"
    )
    score_thresh: Share = Field(0.05, description="a detection scores more than this")
    nms_thresh: Share = Field(0.5, description="IoU above which the weaker of two boxes is dropped")
    class_agnostic: bool = Field(False, description="NMS over all classes at once instead of per class")
    detections_per_img: int | None = Field(
        100, gt=0, description="most detections kept of a picture; null: all that NMS leaves"
    )


class Postprocessor(Section):
    """Decoding and NMS."""

    params: PostprocessorParams = PostprocessorParams()


class Model(Section):
    """The detector, what it is trained with, and how its outputs are read."""

    preset: PresetName | None = Field(
        None, description="settings as another implementation has them, wherever this file gives none"
    )
    architecture: Architecture = Architecture()
    losses: Losses = Losses()
    postprocessor: Postprocessor = Postprocessor()
