"""The model as a graph, in the forms that are exported: uint8 pictures on the canvas in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.backbone import PROBE_SIZE
from foveal.models.detector import Detector
from foveal.models.folding import fold_batch_norm
from foveal.models.inference import InferenceModel
from foveal.runtime.exported import INPUT, OUTPUTS
from foveal.runtime.onnx_writing import EXAMPLE_PICTURES, picture_sizes, write_onnx


class DetectionGraph(nn.Module):
    """An ``InferenceModel`` whose outputs are a plain tuple, its batch norms folded. The model is not changed."""

    def __init__(self, model: InferenceModel) -> None:
        super().__init__()
        assert isinstance(model.detector, Detector)
        probe = torch.zeros(1, 3, *PROBE_SIZE, dtype=torch.uint8)
        self.model = InferenceModel(
            fold_batch_norm(model.detector, probe),
            model.decoder,
            model.nms_thresh,
            model.class_agnostic,
            model.detections_per_img,
        ).eval()

    @property
    def output_names(self) -> list[str]:
        """One for each tensor that ``forward`` gives."""
        return list(OUTPUTS)

    @property
    def detector(self) -> Detector:
        """The network, folded."""
        assert isinstance(self.model.detector, Detector)
        return self.model.detector

    @property
    def head(self) -> AnchorDecoupledHead:
        """Its head."""
        assert isinstance(self.detector.head, AnchorDecoupledHead)
        return self.detector.head

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """images: [B, 3, H, W] uint8, H and W multiples of 32 -> as ``BatchDetections``."""
        found = self.model(images)
        return found.boxes, found.scores, found.labels, found.count


class RawGraph(DetectionGraph):
    """Gives the head's outputs instead: logits [B, n, K] of every level, then deltas [B, n, 4] of every level."""

    @property
    def output_names(self) -> list[str]:
        """By level, as in P3."""
        levels = [stride.bit_length() - 1 for stride in self.head.strides]
        return [f"{kind}_{level}" for kind in ("logits", "deltas") for level in levels]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """images: as for ``DetectionGraph``."""
        outputs: Any = self.detector(images)
        return *outputs.cls_logits, *outputs.bbox_deltas


def onnx_graph(graph: DetectionGraph) -> bytes:
    """ONNX file of a graph, without metadata. UsageError where the network cannot be written as one."""
    return write_onnx(graph, EXAMPLE_PICTURES, picture_sizes(), [INPUT], graph.output_names)
