"""torchvision's RetinaNet-R50, fresh but with the statistics of a trained one, and Foveal's with its weights."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.misc import FrozenBatchNorm2d

from foveal.heads.anchor_decoupled import AnchorDecoder, AnchorDecoupledHead
from foveal.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone
from foveal.models.detector import Detector
from foveal.models.fpn import FeaturePyramid
from foveal.models.inference import InferenceModel
from foveal.ops.anchors import AnchorRule
from foveal.types import Array

CLASSES = 91
STRIDES = (8, 16, 32, 64, 128)
CANDIDATE_SHARE = 32_000 / (201_600 * CLASSES)
"""Scores over the threshold, of all: 32,000 on an 800 x 1344 picture. An unscaled fresh network has none."""
DELTA_STD = 0.2
"""Spread of the box outputs, which a fresh network leaves on its anchors."""
NAMES = {
    "backbone.fpn.inner_blocks": "neck.lateral",
    "backbone.fpn.layer_blocks": "neck.output",
    "backbone.fpn.extra_blocks.p6": "neck.extra.0.0",
    "backbone.fpn.extra_blocks.p7": "neck.extra.1.0",
    "head.classification_head.cls_logits": "head.cls_logits",
    "head.regression_head.bbox_reg": "head.bbox_pred",
    **{f"head.classification_head.conv.{i}.0": f"head.cls_subnet.{2 * i}" for i in range(4)},
    **{f"head.regression_head.conv.{i}.0": f"head.box_subnet.{2 * i}" for i in range(4)},
}
"""Beginning of a weight's name, torchvision's -> ours; the backbone's are timm's."""


class TrueStrides(AnchorGenerator):  # type: ignore[misc]
    """torchvision's anchors at the true strides.

    Its own are the picture's sides over the grid's, rounded down: 61 instead of 64 for 13 rows of 800 pixels.
    """

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Anchors of every picture."""
        maps = feature_maps[0]
        self.set_cell_anchors(maps.dtype, maps.device)
        sizes = [list(x.shape[-2:]) for x in feature_maps]
        strides = [[torch.tensor(stride, device=maps.device)] * 2 for stride in STRIDES]
        return [torch.cat(self.grid_anchors(sizes, strides))] * len(image_list.image_sizes)


def make_picture(height: int, width: int, textured: float = 1.0) -> Array:
    """[H, W, 3] uint8 with structure at every scale, as a photograph has.

    textured: side of the part in the middle that has it, as a share of the picture's; the rest is grey.
    """
    generator = torch.Generator().manual_seed(0)
    waves = torch.zeros(1, 3, height, width)
    for size in (2, 4, 8, 16, 32, 64, 128):
        noise = torch.randn(1, 3, height // size + 2, width // size + 2, generator=generator)
        waves += F.interpolate(noise, (height, width), mode="bilinear") * size**0.5
    picture = torch.full((height, width, 3), 114, dtype=torch.uint8)
    tall, wide = round(height * textured), round(width * textured)
    top, left = (height - tall) // 2, (width - wide) // 2
    pixels = (waves[0] / waves.std() * 50 + 115).clamp(0, 255).byte().permute(1, 2, 0)
    picture[top : top + tall, left : left + wide] = pixels[top : top + tall, left : left + wide]
    return picture.numpy()


def make_torchvision(picture: Array) -> RetinaNet:
    """torchvision's model, v1: batch norm with the statistics of a picture, then frozen; outputs spread."""
    torch.manual_seed(0)
    height, width = picture.shape[:2]
    model = retinanet_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES, min_size=height, max_size=width
    )
    calibrate(model, picture)
    _freeze(model)
    anchors = model.anchor_generator
    model.anchor_generator = TrueStrides(anchors.sizes, anchors.aspect_ratios)
    return model


@torch.no_grad()
def calibrate(model: RetinaNet, *pictures: Array) -> None:
    """Gives a fresh model of torchvision's, v1 or v2, the spread of a trained one; it is then in evaluation mode.

    Batch norm takes the statistics of the pictures (of one size), box outputs a deviation of ``DELTA_STD``, and
    the class layer is scaled so that ``CANDIDATE_SHARE`` of each picture's scores pass the threshold, or more.
    On pictures of another kind there may be none, or all near 1, where their order is that of rounding.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics of these pictures alone, not a step towards them
    pixels = model.transform([to_float(picture) for picture in pictures])[0].tensors
    model.backbone.body.train()(pixels)
    features = list(model.eval().backbone(pixels).values())
    deltas = model.head.regression_head(features)
    model.head.regression_head.bbox_reg.weight.mul_(DELTA_STD / deltas.std())
    logits = model.head.classification_head(features)
    layer = model.head.classification_head.cls_logits
    prior, limit = float(layer.bias[0]), float(torch.tensor(model.score_thresh).logit())
    spread = (logits - prior).flatten(1)
    highest = spread.topk(round(spread.shape[1] * CANDIDATE_SHARE)).values[:, -1]
    layer.weight.mul_((limit - prior) / highest.min())


def make_foveal(theirs: RetinaNet, batch_norm: Literal["frozen", "trained"] = "frozen") -> InferenceModel:
    """Our model with torchvision's weights, anchors and settings. batch_norm: as in ``Backbone``."""
    backbone = Backbone("resnet50", None, batch_norm=batch_norm)
    neck = FeaturePyramid(backbone.channels, theirs.backbone.out_channels, len(STRIDES), "on_output")
    anchors = theirs.anchor_generator
    head = AnchorDecoupledHead(
        theirs.backbone.out_channels,
        CLASSES,
        STRIDES,
        anchors.sizes,
        anchors.aspect_ratios[0],
        anchor_rule=AnchorRule(offset=0.0),
    )
    for level, cell in enumerate(
        anchors.cell_anchors
    ):  # rounded to whole pixels, from sizes cut to whole ones
        head.get_buffer(f"cell_{level}").copy_(cell)
    detector = Detector(backbone, neck, head, STRIDES, IMAGENET_MEAN, IMAGENET_STD)
    weights = {_our_name(name): value for name, value in theirs.state_dict().items()}
    detector.load_state_dict({**detector.state_dict(), **weights})
    decoder = AnchorDecoder(theirs.topk_candidates, theirs.score_thresh)
    settings = (theirs.nms_thresh, False, theirs.detections_per_img)
    return InferenceModel(detector, decoder, *settings).eval()


def to_float(picture: Array) -> Tensor:
    """What torchvision's model takes: [3, H, W] in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 255


def _our_name(name: str) -> str:
    known = next((start for start in NAMES if name.startswith(start)), "")
    return NAMES.get(known, "") + name.removeprefix(known)


def _freeze(module: nn.Module) -> None:
    """Every batch norm as torchvision has it in a pretrained backbone."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen)
        else:
            _freeze(child)
