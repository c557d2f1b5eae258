"""The detector: raw pictures in, raw head outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from foveal.types import HeadOutputs


class Detector(nn.Module):
    """Normalise -> backbone -> neck -> head.

    backbone: gives its maps finest first, and has ``strides``. neck: gives ``num_levels`` maps.
    mean, std: per channel, in units of 1 (ImageNet's: 0.485, 0.456, 0.406; 0.229, 0.224, 0.225).
    order: of the channels that the backbone takes, and that mean and std are in; pictures come as RGB.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        order: Literal["rgb", "bgr"] = "rgb",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.strides = tuple(strides)
        self.order = order
        # Kept with the weights: what a later timm says of this backbone must not change a trained model.
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(list(std)).view(1, 3, 1, 1) * 255))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> HeadOutputs:
        """images: [B, 3, H, W] uint8 RGB on a canvas whose sides are multiples of 32."""
        outputs: HeadOutputs = self.head(self.features(images))
        return outputs

    def features(self, images: Tensor) -> list[Tensor]:
        """The neck's maps, finest first."""
        pyramid: list[Tensor] = self.neck(self.backbone(self.normalise(images)))
        return pyramid

    def normalise(self, images: Tensor) -> Tensor:
        """``(images - mean) * scale`` in one pass over the bytes, as channels_last in the type of ``mean``."""
        pixels = images.flip(1) if self.order == "bgr" else images
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return torch.addcmul(-self.mean * self.scale, pixels, self.scale)
