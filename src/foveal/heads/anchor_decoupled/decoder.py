"""Raw outputs -> candidates (paper, section 4.1, "Inference"): top-k of each level above the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.ops.box_coder import BoxCoder, CentreCoder
from foveal.ops.topk import topk
from foveal.types import AnchorLevel, Candidates, HeadOutputs


class Picks(NamedTuple):
    """The best (anchor, class) pairs of one level, by falling logit; k of them."""

    logit: Tensor
    """[B, k] float32."""
    anchor: Tensor
    """[B, k] int64, row of the level."""
    label: Tensor
    """[B, k] int64."""


class AnchorDecoder:
    """Per level, the ``topk_candidates`` best (anchor, class) pairs with score > ``score_thresh``, decoded.

    topk_candidates: None is all. coder: the one that the network was trained with.
    """

    def __init__(
        self, topk_candidates: int | None = 1000, score_thresh: float = 0.05, coder: BoxCoder | None = None
    ) -> None:
        self.topk_candidates = topk_candidates
        self.score_thresh = score_thresh
        self.coder: BoxCoder = coder or CentreCoder()
        self.logit_thresh = _logit(score_thresh)

    def __call__(self, outputs: HeadOutputs, image_size: tuple[int, int]) -> Candidates:
        """image_size: height and width of the canvas, to which boxes are clipped."""
        picks = [self.pick(logits) for logits in outputs.cls_logits]
        deltas = [
            rows.gather(1, pick.anchor[:, :, None].expand(-1, -1, 4))
            for rows, pick in zip(outputs.bbox_deltas, picks, strict=True)
        ]
        return self.decode(picks, deltas, outputs.anchors, image_size)

    def pick(self, logits: Tensor) -> Picks:
        """The best pairs of one level, [B, n, K] -> at most min(topk_candidates, n * K) of them.

        Of a single picture, pairs under the threshold may be missing.
        """
        logit, place = topk(logits, self.topk_candidates, self.logit_thresh)
        classes = logits.shape[2]
        return Picks(logit.float(), torch.div(place, classes, rounding_mode="floor"), place % classes)

    def decode(
        self,
        picks: Sequence[Picks],
        deltas: Sequence[Tensor],
        anchors: Sequence[AnchorLevel],
        image_size: tuple[int, int],
    ) -> Candidates:
        """Picks of every level with their deltas [B, k, 4]; pairs under the threshold are empty places."""
        picked = [level.boxes[pick.anchor] for pick, level in zip(picks, anchors, strict=True)]
        boxes = self.coder.decode(torch.cat(list(deltas), dim=1).float(), torch.cat(picked, dim=1))
        logit = torch.cat([pick.logit for pick in picks], dim=1)
        return Candidates(
            _clip(boxes, image_size),
            torch.where(logit > self.logit_thresh, logit.sigmoid(), 0.0),
            torch.cat([pick.label for pick in picks], dim=1),
        )


def _clip(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Boxes [..., 4] cut at the canvas. No tensor is made of the sizes: an export would freeze them."""
    height, width = image_size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)


def _logit(score: float) -> float:
    """Logit of a score, infinite where no score, or every score, is above it."""
    if score <= 0:
        return -math.inf
    return math.log(score / (1 - score)) if score < 1 else math.inf
