"""Every setting, with its default, its meaning and the values it takes (``foveal config schema``)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=32, le=16384)]

COARSEST_LEVEL = 7
"""P7, stride 128: the paper's last level; coarser ones have a cell or two left on common pictures."""


class Section(BaseModel):
    """A part of the file. An unknown key is an error; values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _fail(where: str, message: str) -> PydanticCustomError:
    """An error of the field ``where`` (dotted, seen from the section) that needs several fields to find."""
    return PydanticCustomError("rule", "{message}", {"where": where, "message": message})


# ---------------------------------------------------------------- data


class CocoSource(Section):
    """COCO JSON."""

    format: Literal["coco"]
    annotations: str = Field(description="the JSON file")
    images: str | None = Field(None, description="folder of the pictures; default: the JSON file's folder")


class VocSource(Section):
    """Pascal VOC XML, one file a picture."""

    format: Literal["voc"]
    annotations: str = Field(description="folder of the XML files")
    images: str | None = Field(None, description="folder of the pictures; default: the annotations' folder")
    split: str | None = Field(None, description="text file with one stem a line; default: every picture")
    voc_corners: Literal["one_based", "raw"] = Field(
        "one_based", description="one_based: xmin - 1, ymin - 1, xmax, ymax; raw: the file's own numbers"
    )


class ShapesSource(Section):
    """Generated pictures: no files needed."""

    format: Literal["shapes"]
    pictures: int = Field(256, gt=0)
    classes: int = Field(3, gt=0, description="number of classes: combinations of shape and colour family")
    size: int = Field(160, ge=32, description="side of the square pictures, in pixels")
    seed: int = 0
    empty_share: Share = Field(0.1, description="share of pictures without any object")


Source = Annotated[CocoSource | VocSource | ShapesSource, Field(discriminator="format")]


class Augment(Section):
    """Box-aware augmentation of the training pictures; everything off gives the pictures as they are."""

    horizontal_flip: Share = Field(0.5, description="probability")
    vertical_flip: Share = Field(0.0, description="probability")
    rotate_90: Share = Field(0.0, description="probability of a turn by a quarter (either way)")
    scale_jitter: tuple[Positive, Positive] | None = Field(
        None, description="range of the random zoom, e.g. [0.5, 1.5]"
    )
    crop: Share = Field(0.0, description="probability of a random crop that keeps a box's overlap")
    colour: Share = Field(0.0, description="strength of brightness, contrast, saturation and hue jitter")
    mosaic: Share = Field(0.0, description="probability of joining four pictures into one")
    multi_scale: list[Positive] | None = Field(
        None, description="factors on image_size, one drawn per batch, e.g. [0.75, 1.0, 1.25]"
    )
    min_visible: Share = Field(0.25, description="a box that keeps less of its area than this is dropped")

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.scale_jitter and self.scale_jitter[0] > self.scale_jitter[1]:
            raise _fail(
                "scale_jitter", f"{list(self.scale_jitter)} is upside down; write [smallest, largest]"
            )
        return self


class Data(Section):
    """Where pictures and labels come from, and how they reach the network."""

    train: Source = Field(description="what is trained on")
    val: Source | None = Field(None, description="what the AP is measured on while training")
    classes: list[str] | None = Field(
        None, min_length=1, description="class names in model order; default: those of the training labels"
    )
    image_size: tuple[Side, Side] = Field(
        (512, 512), description="[height, width] of the canvas that pictures are letterboxed onto"
    )
    augment: Augment = Field(Augment(), description="random changes of the training pictures")
    class_aware_sampling: bool = Field(False, description="draw pictures of rare classes more often")
    workers: int = Field(2, ge=0, description="loader processes")
    strict: bool = Field(False, description="any unreadable picture is an error instead of being counted")

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        names = self.classes or []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise _fail(
                "classes",
                f"names {', '.join(map(repr, twice))} more than once; every class needs its own name",
            )
        return self


# ---------------------------------------------------------------- model


class BackboneParams(Section):
    """Parameters of the backbone."""

    weights: str | None = Field(
        "imagenet", description="imagenet (timm's pretrained weights by name), a .safetensors file, or null"
    )
    c5: Literal["features", "conv_head"] = Field(
        "features",
        description="conv_head: the map after the last 1x1 convolution (MobileNetV2: 1,280 channels)",
    )
    batch_norm: Literal["frozen", "trained"] = Field(
        "frozen", description="frozen: statistics and weights stay those of the pretrained backbone"
    )


class Backbone(Section):
    """Any timm model that gives feature maps at strides 8, 16 and 32."""

    name: str = Field("resnet50", description="a timm model name")
    params: BackboneParams = BackboneParams()


class NeckParams(Section):
    """Parameters of the feature pyramid."""

    min_level: int = Field(3, ge=2, le=5, description="finest level: 2 is stride 4, 3 is stride 8")
    out_channels: int = Field(256, gt=0, description="width of every level")
    extra_convs: Literal["on_input", "on_output"] = Field(
        "on_input", description="P6 from C5 (on_input, the paper) or from P5 (on_output)"
    )
    relu_before_extra_convs: bool = Field(True, description="P7 from ReLU(P6), as in the paper")
    norm_type: Literal["none", "batch_norm", "group_norm"] = Field(
        "none", description="after each convolution"
    )


class Neck(Section):
    """Feature pyramid network; the number of levels is that of the head's anchor_sizes."""

    name: Literal["fpn"] = "fpn"
    params: NeckParams = NeckParams()


NormType = Literal["none", "batch_norm", "group_norm", "instance_norm"]


class HeadParams(Section):
    """Parameters of the decoupled anchor head (RetinaNet's defaults)."""

    anchor_sizes: list[list[Positive]] = Field(
        [[s * 2 ** (o / 3) for o in range(3)] for s in (32, 64, 128, 256, 512)],
        description="side lengths in pixels, one list per pyramid level",
        min_length=1,
    )
    aspect_ratios: list[Positive] = Field([0.5, 1.0, 2.0], description="height / width", min_length=1)
    anchor_offset: float = Field(0.5, description="anchor centre inside a cell, as a share of the stride")
    num_layers: int = Field(4, ge=0, description="3x3 conv + norm + ReLU blocks in each subnet")
    norm_type: NormType = Field("none", description="after each convolution of the subnets")
    prior_prob: float = Field(0.01, gt=0, lt=1, description="score of every anchor at initialisation")

    @model_validator(mode="after")
    def _as_many_everywhere(self) -> Self:
        lengths = [len(sizes) for sizes in self.anchor_sizes]
        if len(set(lengths)) > 1 or not lengths[0]:
            message = (
                f"the lists hold {', '.join(map(str, lengths))} sizes; every level needs the same number, "
                "at least one: the subnets are shared over the levels"
            )
            raise _fail("anchor_sizes", message)
        return self


class Head(Section):
    """Two convolution subnets, one for classes and one for boxes, shared over the levels."""

    name: Literal["anchor_decoupled_head"] = "anchor_decoupled_head"
    params: HeadParams = HeadParams()


class Architecture(Section):
    """Backbone -> neck -> head."""

    backbone: Backbone = Backbone()
    neck: Neck = Neck()
    head: Head = Head()

    @model_validator(mode="after")
    def _levels_exist(self) -> Self:
        lists, first = len(self.head.params.anchor_sizes), self.neck.params.min_level
        if first + lists - 1 > COARSEST_LEVEL:
            most = COARSEST_LEVEL - first + 1
            message = (
                f"has {lists} lists, one per level: P{first}..P{first + lists - 1}; the coarsest level "
                f"is P{COARSEST_LEVEL} (stride {2**COARSEST_LEVEL}), so give at most {most} lists"
            )
            if first > 2:
                message += f", or start finer with neck.params.min_level (now {first})"
            raise _fail("head.params.anchor_sizes", message)
        return self


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
            raise _fail("bg_iou_thresh", message)
        return self


class AtssAssigner(Section):
    """Adaptive training sample selection (Zhang et al. 2020)."""

    name: Literal["atss"]
    topk: int = Field(9, gt=0, description="nearest anchors taken per level")


class FocalLoss(Section):
    """Focal loss (paper, equation 5)."""

    name: Literal["focal"] = "focal"
    focal_alpha: Share | list[Share] = Field(
        0.25, description="weight of objects against background, one number or one per class"
    )
    focal_gamma: float = Field(2.0, ge=0)
    weight: float = Field(1.0, ge=0)


class QualityFocalLoss(Section):
    """Focal loss with the box's IoU as the target score (Li et al. 2020)."""

    name: Literal["quality_focal"]
    focal_gamma: float = Field(2.0, ge=0)
    weight: float = Field(1.0, ge=0)


class BoxLoss(Section):
    """Regression loss of the positives."""

    name: Literal["l1", "smooth_l1", "giou"] = "l1"
    beta: Positive = Field(1 / 9, description="smooth L1: where the quadratic part ends")
    weight: float = Field(1.0, ge=0)


class Losses(Section):
    """Assignment and losses."""

    assigner: Annotated[IouAssigner | AtssAssigner, Field(discriminator="name")] = IouAssigner()
    classification: Annotated[FocalLoss | QualityFocalLoss, Field(discriminator="name")] = FocalLoss()
    box: BoxLoss = BoxLoss()
    normalizer: Literal["batch_positives", "image_positives"] = "batch_positives"


class PostprocessorParams(Section):
    """From raw outputs to detections."""

    topk_candidates: int = Field(1000, gt=0, description="kept per level before NMS, over anchors x classes")
    score_thresh: Share = Field(0.05, description="a detection scores more than this")
    nms_thresh: Share = Field(0.5, description="IoU above which the weaker of two boxes is dropped")
    class_agnostic: bool = Field(False, description="NMS over all classes at once instead of per class")
    detections_per_img: int = Field(100, gt=0, description="most detections kept of a picture")


class Postprocessor(Section):
    """Decoding and NMS."""

    params: PostprocessorParams = PostprocessorParams()


class Model(Section):
    """The detector, what it is trained with, and how its outputs are read."""

    architecture: Architecture = Architecture()
    losses: Losses = Losses()
    postprocessor: Postprocessor = Postprocessor()


# ---------------------------------------------------------------- training


class AdamW(Section):
    """AdamW."""

    name: Literal["adamw"] = "adamw"
    lr_per_16: Positive = Field(5e-4, description="learning rate for 16 pictures a step; scaled linearly")
    weight_decay: float = Field(0.05, ge=0)
    backbone_lr_factor: float = Field(1.0, ge=0)


class Sgd(Section):
    """SGD with momentum."""

    name: Literal["sgd"]
    lr_per_16: Positive = 0.01
    momentum: Share = 0.9
    weight_decay: float = Field(1e-4, ge=0)
    backbone_lr_factor: float = Field(1.0, ge=0)


class Schedule(Section):
    """Learning rate over the run."""

    name: Literal["cosine", "steps", "constant"] = "cosine"
    warmup_steps: int = Field(100, ge=0, description="linear warm-up; at most a tenth of the run")
    milestones: list[Share] = Field(
        [2 / 3, 8 / 9], description="steps: shares of the run where the rate drops"
    )
    drop: Positive = Field(0.1, description="steps: factor at each milestone")
    final_factor: float = Field(0.0, ge=0, description="cosine: last rate as a share of the first")


class Ema(Section):
    """Moving average of the weights; it is what is validated and saved."""

    decay: float = Field(0.999, gt=0, lt=1)
    warmup: bool = Field(
        True, description="decay grows as (1 + step) / (10 + step) until it reaches its value"
    )


class Training(Section):
    """Length, optimiser and surroundings of a run."""

    epochs: int | None = Field(None, gt=0, description="length in passes over the data")
    max_steps: int | None = Field(None, gt=0, description="length in optimiser steps; wins over epochs")
    batch_size: int = Field(8, gt=0, description="pictures per process and micro-batch")
    accumulate: int = Field(1, gt=0, description="micro-batches per optimiser step")
    optimizer: Annotated[AdamW | Sgd, Field(discriminator="name")] = AdamW()
    schedule: Schedule = Schedule()
    clip_grad_norm: float | None = Field(
        10.0, gt=0, description="largest norm of all gradients; null: no clipping"
    )
    ema: Ema | None = Field(None, description="moving average of the weights; null: none")
    precision: Literal["fp32", "bf16", "16-mixed"] = Field("fp32", description="16-mixed needs a GPU")
    validate_every: int = Field(1, gt=0, description="epochs between validations")
    early_stopping: int | None = Field(
        None, gt=0, description="validations without a better AP before stopping"
    )
    seed: int = 0
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")


class Export(Section):
    """Settings of foveal export."""


class Config(Section):
    """One file: data, model, training, export."""

    data: Data | None = Field(
        None, description="pictures and labels; a file that only describes a model has none"
    )
    model: Model = Model()
    training: Training = Training()
    export: Export = Export()
