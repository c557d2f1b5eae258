"""Every kind of head and neck becomes a graph with open sizes that computes the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from foveal.build import build_detector, build_inference
from foveal.config.schema import Model
from foveal.export.graph import DetectionGraph, onnx_graph
from foveal.export.parity import limits_of, lists_of
from foveal.export.torch_file import TorchvisionGraph, exported_program
from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.metrics.agreement import RANDOM_R50, compare_all
from foveal.models.inference import InferenceModel
from foveal.runtime.exported import INPUT
from foveal.types import BatchDetections

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]] = {
    "group norm, many classes": ({}, {"norm_type": "group_norm"}, {}, 5),
    "P2, instance norm, one class, agnostic, all detections": (
        {"min_level": 2},
        {"norm_type": "instance_norm"},
        {"class_agnostic": True, "detections_per_img": None},
        1,
    ),
    "TensorFlow's padding, corners": (
        {"extra_padding": "tensorflow"},
        {"norm_type": "group_norm", "box_coder": {"name": "corners", "std": 0.2}},
        {},
        3,
    ),
}
"""Settings of neck, head and postprocessor, and the number of classes."""
SIZES = ((1, 3, 64, 64), (3, 3, 96, 160), (2, 3, 256, 128))
"""On the first, the coarsest level is a single cell."""


def network(variant: str) -> tuple[InferenceModel, Model]:
    """Random weights whose scores are far apart, so that rounding does not choose among them."""
    neck, head, postprocessor, classes = VARIANTS[variant]
    sizes = [[2.0**i] for i in range(2 + neck.get("min_level", 3), 10)]
    settings = Model.model_validate(
        {
            "architecture": {
                "backbone": {"name": "lcnet_050", "params": {"weights": None, "batch_norm": "trained"}},
                "neck": {"params": {"out_channels": 32, **neck}},
                "head": {"params": {"anchor_sizes": sizes, "num_layers": 1, **head}},
            },
            "postprocessor": {"params": {"topk_candidates": 50, **postprocessor}},
        }
    )
    torch.manual_seed(0)
    detector = build_detector(settings, classes, pretrained=False)
    assert isinstance(detector.head, AnchorDecoupledHead)
    nn.init.normal_(detector.head.cls_logits.weight, std=0.3)
    nn.init.normal_(detector.head.bbox_pred.weight, std=0.02)
    return build_inference(detector, settings).eval(), settings


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "torch"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant: str, target: str) -> None:
    plain, settings = network(variant)
    if target == "onnx":
        pytest.importorskip("onnxruntime")
        from foveal.runtime.backends_onnxruntime import onnxruntime_run

        run: Any = onnxruntime_run(onnx_graph(DetectionGraph(plain)), INPUT)
    else:
        run = exported_program(TorchvisionGraph(plain)).module()
    limits = limits_of(settings.postprocessor.params)
    for size in SIZES:
        pictures = torch.randint(0, 256, size, dtype=torch.uint8)
        with torch.inference_mode():
            expected = lists_of(plain(pictures))
            found = lists_of(BatchDetections(*run(pictures)))
        agreement = compare_all(zip(found, expected, strict=True), RANDOM_R50, limits)
        assert agreement.pairs > 3 * size[0]
        assert agreement.different == 0, agreement
