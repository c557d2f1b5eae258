"""Row: raw outputs of an 800 x 1344 picture and 91 classes -> detections."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.retinanet import RetinaNet

from foveal.bench.case import Case, Setup
from foveal.bench.matching import HEIGHT, QUICK_HEIGHT, QUICK_WIDTH, WIDTH, retinanet_levels
from foveal.heads.anchor_decoupled import AnchorDecoder
from foveal.ops.nms import suppress
from foveal.types import AnchorLevel, BatchDetections, HeadOutputs

CLASSES = 91
SCORE_THRESH, NMS_THRESH, TOPK, DETECTIONS = 0.05, 0.5, 1000, 300
"""torchvision's RetinaNet."""
THRESHOLD_LOGIT = -2.9444
CANDIDATES = ((1_400, 12), (353_000, 9))
"""Scores above the threshold, and the ratio to reach."""
SPREAD = 0.6


def cases(setup: Setup) -> Iterator[Case]:
    """A trained network's number of candidates, and a fresh one's."""
    height, width = (QUICK_HEIGHT, QUICK_WIDTH) if setup.quick else (HEIGHT, WIDTH)
    levels = retinanet_levels(height, width, setup.device)
    anchors = torch.cat([level.boxes for level in levels])
    entries = len(anchors) * CLASSES
    for wanted, target in CANDIDATES:
        count = entries * wanted // (201_600 * CLASSES) if setup.quick else wanted
        outputs = random_outputs(levels, CLASSES, count, setup.device)
        yield Case(
            f"postprocess {len(anchors):,} x {CLASSES}, {count:,} candidates",
            "torchvision",
            partial(postprocess, outputs, (height, width)),
            partial(_textbook, outputs, (height, width)),
            difference,
            target=target,
            traffic=sum(logits.nbytes for logits in outputs.cls_logits),
        )


def difference(ours: BatchDetections, baseline: dict[str, Tensor]) -> str:
    """Detections that differ in number or class, and the largest difference of box and score."""
    count, expected = int(ours.count[0]), len(baseline["scores"])
    if not expected:
        raise ValueError("no detections to compare")
    if count != expected:
        return f"{count} detections, not {expected}"
    labels = int((ours.labels[0, :count] != baseline["labels"]).sum())
    box = (ours.boxes[0, :count] - baseline["boxes"]).abs().max().item()
    score = (ours.scores[0, :count] - baseline["scores"]).abs().max().item()
    return f"{labels} classes of {count} detections, box {box:.0e} px, score {score:.0e}"


def random_outputs(
    levels: tuple[AnchorLevel, ...], classes: int, above: int, device: str = "cpu"
) -> HeadOutputs:
    """Outputs for one picture, so many scores of which are above ``SCORE_THRESH``.

    Logits are normally distributed in chance order, no two alike where it matters.
    """
    generator = torch.Generator().manual_seed(0)
    sizes = [len(level.boxes) for level in levels]
    entries = sum(sizes) * classes
    share = (torch.arange(entries, dtype=torch.float64) + 0.5) / entries
    logits = torch.special.ndtri(share) * SPREAD
    logits += THRESHOLD_LOGIT - (logits[entries - above - 1] + logits[entries - above]) / 2
    logits = logits.float()[torch.randperm(entries, generator=generator)].view(1, -1, classes)
    deltas = torch.randn(1, sum(sizes), 4, generator=generator) * 0.3
    of_levels = [tuple(torch.split(rows.to(device), sizes, dim=1)) for rows in (logits, deltas)]
    return HeadOutputs(of_levels[0], of_levels[1], levels)


def postprocess(outputs: HeadOutputs, canvas: tuple[int, int]) -> BatchDetections:
    """Ours: decoder and NMS."""
    candidates = AnchorDecoder(TOPK, SCORE_THRESH)(outputs, canvas)
    return suppress(candidates, NMS_THRESH, detections_per_img=DETECTIONS)


def _textbook(outputs: HeadOutputs, canvas: tuple[int, int]) -> dict[str, Tensor]:
    settings = SimpleNamespace(
        score_thresh=SCORE_THRESH,
        topk_candidates=TOPK,
        nms_thresh=NMS_THRESH,
        detections_per_img=DETECTIONS,
        box_coder=BoxCoder((1.0, 1.0, 1.0, 1.0)),
    )
    raw = {"cls_logits": list(outputs.cls_logits), "bbox_regression": list(outputs.bbox_deltas)}
    anchors = [[level.boxes for level in outputs.anchors]]
    found: list[dict[str, Tensor]] = RetinaNet.postprocess_detections(settings, raw, anchors, [canvas])
    return found[0]
