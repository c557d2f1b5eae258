"""Detections in two steps: scores everywhere, then boxes where there is something to box."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from foveal.heads.anchor_decoupled import AnchorDecoder, AnchorDecoupledHead, decode_lazily
from foveal.models.inference import InferenceModel
from foveal.ops.nms import suppress
from foveal.types import BatchDetections


class Branches(Protocol):
    """What a backend runs: all of a detector's arithmetic, in two parts. Maps are channels_last."""

    def classify(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Pictures [B, 3, H, W] uint8 -> maps of the class subnet, and the neck's, a list of levels each.

        They may lie in memory that the next call writes over.
        """
        ...

    def regress(self, x: Tensor) -> Tensor:
        """The box subnet on a part [B, C, h, w] of one of the neck's maps -> [B, A * 4, h, w]."""
        ...


class LazyModel(nn.Module):
    """The detections of an ``InferenceModel`` by any backend; for eager use, as its work depends on the picture.

    model: gives decoder and settings. head: gives the maps their meaning.
    """

    def __init__(self, model: InferenceModel, head: AnchorDecoupledHead, branches: Branches) -> None:
        super().__init__()
        assert isinstance(model.decoder, AnchorDecoder)
        self.decoder = model.decoder
        # Its settings and not its method, which would keep a second set of weights in memory.
        self.nms = (model.nms_thresh, model.class_agnostic, model.detections_per_img)
        self.head = head
        self.branches = branches

    def forward(self, images: Tensor) -> BatchDetections:
        """images: as for ``Detector``; boxes are clipped to the canvas."""
        logits, features = self.branches.classify(images)
        size = (images.shape[2], images.shape[3])
        regress = self.branches.regress
        return suppress(decode_lazily(self.head, self.decoder, logits, features, regress, size), *self.nms)
