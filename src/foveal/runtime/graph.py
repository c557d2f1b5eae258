"""A detector's two branches as ONNX graphs, every size of picture and batch open, and what runs them.

Maps go in and out as [B, H, W, C]: in that layout rows of logits lie next to each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foveal.errors import UsageError
from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.detector import Detector
from foveal.ops.letterbox import STRIDE_MULTIPLE

EXAMPLE_SIZE = (256, 384)
"""Height and width that a graph is written from: two cells and more on P7, since a size of one stays for ever."""
MOST = 1_024
"""Largest batch, side of a picture in units of 32 pixels, and side of a map in units of 32 cells."""

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
    steps = (STRIDE_MULTIPLE * torch.export.Dim(name, min=2, max=MOST) for name in ("h", "w"))
    images = torch.zeros(2, 3, *EXAMPLE_SIZE, dtype=torch.uint8)
    return _export(ClassBranch(detector), images, dict(zip((2, 3), steps, strict=True)))


def export_box_branch(head: AnchorDecoupledHead) -> bytes:
    """ONNX file of the box branch."""
    sides = (torch.export.Dim(name, min=1, max=MOST * STRIDE_MULTIPLE) for name in ("h", "w"))
    x = torch.zeros(2, 7, 9, head.bbox_pred.in_channels)
    return _export(BoxBranch(head), x, dict(zip((1, 2), sides, strict=True)))


def _export(module: nn.Module, example: Tensor, sizes: dict[int, Any]) -> bytes:
    """ONNX file with input ``x`` and free batch. UsageError where the network cannot be written as a graph."""
    sizes = {0: torch.export.Dim("batch", min=1, max=MOST), **sizes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, for its authors
        try:
            program = torch.onnx.export(
                module.eval(), (example,), dynamo=True, verbose=False, input_names=["x"],
                dynamic_shapes=(sizes,),
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise UsageError(
                f"this network cannot be written as an ONNX graph ({reason}); take --backend torch"
            ) from error
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content
