"""Torch itself, eager and channels_last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.detector import Detector


class TorchBranches(nn.Module):
    """``Branches`` of a detector with its norms folded, which is taken over: in bf16 its weights are rounded."""

    def __init__(self, detector: Detector, precision: str) -> None:
        super().__init__()
        assert isinstance(detector.head, AnchorDecoupledHead)
        self.detector = detector
        self.head = detector.head
        self.bf16 = precision == "bf16"
        for module in detector.modules():
            if self.bf16 and isinstance(module, nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)  # autocast alone would round every weight anew on each call

    def classify(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """As ``Branches``."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.detector.features(images)
            return [self.head.classify(x) for x in features], features

    def regress(self, x: Tensor) -> Tensor:
        """As ``Branches``."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.head.regress(x)
