"""A detector's two branches as ONNX graphs, every size of picture and batch open, and what runs them.

Maps go in and out as [B, H, W, C]: in that layout rows of logits lie next to each other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.detector import Detector
from foveal.runtime.onnx_writing import EXAMPLE_PICTURES, map_sizes, picture_sizes, write_onnx

Run = Callable[[Tensor], list[Tensor]]
"""A graph, ready to run: its input, contiguous -> its outputs, valid until the next call."""


class ClassBranch(nn.Module):
    """Pictures [B, 3, H, W] uint8 -> logits of every level, then the neck's maps."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        assert isinstance(detector.head, AnchorDecoupledHead)
        self.detector = detector
        self.head = detector.head

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps [B, h, w, C]."""
        features = self.detector.features(images)
        maps = [*(self.head.classify(x) for x in features), *features]
        return tuple(x.permute(0, 2, 3, 1) for x in maps)


class BoxBranch(nn.Module):
    """Any part of one of the neck's maps [B, h, w, C] -> its deltas [B, h, w, A * 4]."""

    def __init__(self, head: AnchorDecoupledHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """x: as the class branch gives it."""
        return self.head.regress(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class GraphBranches:
    """``Branches`` made of two graphs. classify, regress: the graphs of the two modules above, ready to run."""

    def __init__(self, classify: Run, regress: Run) -> None:
        self._classify = classify
        self._regress = regress

    def classify(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """As ``Branches``, on the CPU."""
        maps = [x.permute(0, 3, 1, 2) for x in self._classify(images.contiguous())]
        return maps[: len(maps) // 2], maps[len(maps) // 2 :]

    def regress(self, x: Tensor) -> Tensor:
        """As ``Branches``."""
        return self._regress(x.permute(0, 2, 3, 1).contiguous())[0].permute(0, 3, 1, 2)


def export_class_branch(detector: Detector) -> bytes:
    """ONNX file of the class branch; H and W are multiples of 32."""
    return write_onnx(ClassBranch(detector), EXAMPLE_PICTURES, picture_sizes(), ["x"])


def export_box_branch(head: AnchorDecoupledHead) -> bytes:
    """ONNX file of the box branch."""
    example = torch.zeros(2, 7, 9, head.bbox_pred.in_channels)
    return write_onnx(BoxBranch(head), example, map_sizes(), ["x"])
