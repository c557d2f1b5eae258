"""Raw outputs -> candidates (paper, section 4.1, "Inference"): top-k of each level above the threshold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foveal.ops.box_coder import decode_boxes
from foveal.types import Candidates, HeadOutputs


class AnchorDecoder:
    """Per level, the ``topk_candidates`` best (anchor, class) pairs with score > ``score_thresh``, decoded."""

    def __init__(self, topk_candidates: int = 1000, score_thresh: float = 0.05) -> None:
        self.topk_candidates = topk_candidates
        self.score_thresh = score_thresh

    def __call__(self, outputs: HeadOutputs, image_size: tuple[int, int]) -> Candidates:
        """image_size: height and width of the canvas, to which boxes are clipped."""
        boxes, scores, labels = [], [], []
        for logits, deltas, level in zip(*outputs, strict=True):
            logit, anchor, label = _topk(logits, self.topk_candidates)
            picked = deltas.gather(1, anchor[:, :, None].expand(-1, -1, 4)).float()
            boxes.append(decode_boxes(picked, level.boxes[anchor]))
            scores.append(_scores_above(logit.float(), self.score_thresh))
            labels.append(label)
        clipped = _clip(torch.cat(boxes, dim=1), image_size)
        return Candidates(clipped, torch.cat(scores, dim=1), torch.cat(labels, dim=1))


def _clip(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Boxes [..., 4] cut at the canvas. No tensor is made of the sizes: an export would freeze them."""
    height, width = image_size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)


def _topk(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logit, anchor and class [B, k'] of the k' = min(k, n * K) largest of [B, n, K].

    The k largest elements lie in the k rows of largest maximum, so only those rows are searched.
    """
    _, anchors, classes = logits.shape
    if classes == 1:
        logit, anchor = logits.squeeze(-1).topk(min(k, anchors), dim=1)
        return logit, anchor, torch.zeros_like(anchor)
    rows = logits.max(dim=2).values.topk(min(k, anchors), dim=1).indices  # [B, r]
    inside = logits.gather(1, rows[:, :, None].expand(-1, -1, classes)).flatten(1)  # [B, r * K]
    logit, place = inside.topk(min(k, inside.shape[1]), dim=1)
    anchor = rows.gather(1, torch.div(place, classes, rounding_mode="floor"))
    return logit, anchor, place % classes


def _scores_above(logit: Tensor, score_thresh: float) -> Tensor:
    """Scores, with 0 where the logit does not exceed that of the threshold (strictly)."""
    if score_thresh <= 0:
        return logit.sigmoid()
    threshold = math.log(score_thresh / (1 - score_thresh)) if score_thresh < 1 else math.inf
    return torch.where(logit > threshold, logit.sigmoid(), 0.0)
