"""What is evaluated is what is exported and served: detector -> decoder -> NMS, one graph."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from foveal.ops.nms import suppress
from foveal.types import BatchDetections, Candidates, Decoder


class InferenceModel(nn.Module):
    """Pictures [B, 3, H, W] uint8 on the canvas -> detections in canvas pixels."""

    def __init__(
        self,
        detector: nn.Module,
        decoder: Decoder,
        nms_thresh: float = 0.5,
        class_agnostic: bool = False,
        detections_per_img: int | None = 100,
    ) -> None:
        super().__init__()
        self.detector = detector
        self.decoder = decoder
        self.nms_thresh = nms_thresh
        self.class_agnostic = class_agnostic
        self.detections_per_img = detections_per_img

    def forward(self, images: Tensor) -> BatchDetections:
        """images: as for ``Detector``; boxes are clipped to the canvas."""
        height, width = images.shape[-2:]
        return self.postprocess(self.detector(images), (height, width))

    def postprocess(self, outputs: Any, image_size: tuple[int, int]) -> BatchDetections:
        """Raw head outputs -> detections; image_size: height and width of the canvas."""
        return self.suppress(self.decoder(outputs, image_size))

    def suppress(self, candidates: Candidates) -> BatchDetections:
        """NMS with this model's settings."""
        return suppress(candidates, self.nms_thresh, self.class_agnostic, self.detections_per_img)
