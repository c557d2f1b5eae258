"""Section ``model.architecture``: pixels, backbone, neck and head."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foveal.config.section import Positive, Section, fail

COARSEST_LEVEL = 7
"""P7, stride 128: the paper's last level; coarser ones have a cell or two left on common pictures."""
Padding = Literal["symmetric", "tensorflow"]
"""tensorflow: its "same", where an odd row or column of padding is put at the bottom or right."""
Three = tuple[float, float, float]


class Pixels(Section):
    """What the backbone is given: (value - mean) / std, values in 0..255."""

    order: Literal["rgb", "bgr"] = Field("rgb", description="of the channels, here and in mean and std")
    mean: Three | None = Field(None, description="per channel, in 0..255; null: the backbone's own")
    std: tuple[Positive, Positive, Positive] | None = Field(
        None, description="per channel, in 0..255; null: the backbone's own"
    )


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
    stride_in_1x1: bool = Field(
        False,
        description="ResNets of 50 layers and more: a stage's stride in its first 1x1 convolution (detectron2, "
        "keras-retinanet), not in the 3x3",
    )
    pool_padding: Padding = Field("symmetric", description="of the max pooling; tensorflow: keras-retinanet")


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
    extra_padding: Padding = Field("symmetric", description="of the convolutions beyond P5; as pool_padding")
    norm_type: Literal["none", "batch_norm", "group_norm"] = Field(
        "none", description="after each convolution"
    )


class Neck(Section):
    """Feature pyramid network; the number of levels is that of the head's anchor_sizes."""

    name: Literal["fpn"] = "fpn"
    params: NeckParams = NeckParams()


NormType = Literal["none", "batch_norm", "group_norm", "instance_norm"]


class CentreCoder(Section):
    """Boxes as (dx, dy, dw, dh) from the anchor."""

    name: Literal["centre"]
    weights: tuple[Positive, Positive, Positive, Positive] = Field(
        (1.0, 1.0, 1.0, 1.0), description="factors on the four; SSD's variances 0.1 and 0.2 are 10, 10, 5, 5"
    )


class CornerCoder(Section):
    """Boxes as the way of each corner, in sides of the anchor."""

    name: Literal["corners"]
    std: Positive = Field(0.2, description="what the four are divided by")


class HeadParams(Section):
    """Parameters of the decoupled anchor head (RetinaNet's defaults)."""

    anchor_sizes: list[list[Positive]] = Field(
        [[s * 2 ** (o / 3) for o in range(3)] for s in (32, 64, 128, 256, 512)],
        description="side lengths in pixels, one list per pyramid level",
        min_length=1,
    )
    octave_scales: list[Positive] = Field(
        [1.0], description="factors on every anchor size, such as [1, 1.26, 1.5874]", min_length=1
    )
    aspect_ratios: list[Positive] = Field([0.5, 1.0, 2.0], description="height / width", min_length=1)
    anchor_offset: float = Field(0.5, description="anchor centre inside a cell, as a share of the step")
    anchor_order: Literal["ratio_major", "size_major"] = Field(
        "ratio_major",
        description="of a cell's anchors: all sizes of a ratio together, or all ratios of a size",
    )
    anchor_rounding: Literal["none", "whole"] = Field(
        "none", description="whole: corners around the cell's centre rounded to whole pixels"
    )
    anchor_corners: Literal["continuous", "inclusive"] = Field(
        "continuous", description="inclusive: a width is x2 - x1 + 1"
    )
    anchor_step: Literal["stride", "canvas"] | Annotated[int, Field(gt=0)] = Field(
        "stride",
        description="pixels from cell to cell: the level's stride, or the canvas' side (or one of so many pixels) "
        "over the number of cells, rounded down",
    )
    box_coder: Annotated[CentreCoder | CornerCoder, Field(discriminator="name")] = CentreCoder(name="centre")
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
            raise fail("anchor_sizes", message)
        return self

    def scaled_sizes(self) -> list[list[float]]:
        """Side lengths per level in pixels: every size at every octave scale."""
        return [
            [size * scale for size in level for scale in self.octave_scales] for level in self.anchor_sizes
        ]


class Head(Section):
    """Two convolution subnets, one for classes and one for boxes, shared over the levels."""

    name: Literal["anchor_decoupled_head"] = "anchor_decoupled_head"
    params: HeadParams = HeadParams()


class Architecture(Section):
    """Backbone -> neck -> head."""

    pixels: Pixels = Pixels()
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
            raise fail("head.params.anchor_sizes", message)
        return self
