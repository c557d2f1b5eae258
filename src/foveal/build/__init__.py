"""Configuration -> objects: the only room that knows every name."""

from __future__ import annotations

from foveal.build.anchors import anchor_rule, build_anchors, build_assigner
from foveal.build.data import as_seen, build_loader, build_records, build_tiling
from foveal.build.losses import build_criterion, with_class_balance
from foveal.build.model import build_detector, build_inference

__all__ = [
    "anchor_rule",
    "as_seen",
    "build_anchors",
    "build_assigner",
    "build_criterion",
    "build_detector",
    "build_inference",
    "build_loader",
    "build_records",
    "build_tiling",
    "with_class_balance",
]
