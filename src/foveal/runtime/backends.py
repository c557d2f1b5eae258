"""What runs a model, and in which precision: the user's choice, and the same detections from each."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import torch
from torch import Tensor

from foveal.errors import UsageError
from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.backbone import PROBE_SIZE
from foveal.models.detector import Detector
from foveal.models.folding import fold_batch_norm
from foveal.models.inference import InferenceModel
from foveal.runtime.backends_torch import TorchBranches
from foveal.runtime.graph import GraphBranches, export_box_branch, export_class_branch
from foveal.runtime.lazy_model import Branches, LazyModel

POSSIBLE: dict[str, tuple[str, ...]] = {
    "torch": ("fp32", "bf16"),
    "onnxruntime": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
}
"""Precisions of every backend. fp32 is float32 in every step. bf16 rounds what a convolution takes in to bfloat16.
int8 runs convolutions on bytes, and the last ones, with all else, as bf16 does where the processor can."""
CALIBRATION_CROP = 32
"""Rows and columns of every map that the box subnet is calibrated on: whole maps would fill memory."""
PACKAGES = {
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


def check_choice(backend: str, precision: str, device: str) -> None:
    """UsageError, with what to do, where a backend, a precision or a device does not go with the others.

    device: as the user gives it; other backends than torch run on the CPU.
    """
    precisions = tuple(dict.fromkeys(name for names in POSSIBLE.values() for name in names))
    for name, value, known in (("backend", backend, tuple(POSSIBLE)), ("precision", precision, precisions)):
        if value not in known:
            raise UsageError(f"{name} {value!r} is not known; use {', '.join(known)}")
    if precision not in POSSIBLE[backend]:
        able = " or ".join(name for name, values in POSSIBLE.items() if precision in values)
        raise UsageError(f"backend {backend} cannot run in {precision}; take --backend {able}")
    check_installed(backend, precision)
    if backend != "torch" and device not in ("auto", "cpu"):
        raise UsageError(f"backend {backend} runs on the CPU, not on {device}; take --backend torch")


def check_installed(backend: str, precision: str = "fp32") -> None:
    """UsageError where a package that this choice needs is missing."""
    missing = missing_packages(backend, precision)
    if missing:
        raise UsageError(
            f"backend {backend} in {precision} needs {', '.join(missing)}: pip install 'foveal[export]'"
        )


def missing_packages(backend: str, precision: str) -> list[str]:
    """Packages of the extra ``export`` that this choice needs and that are not installed."""
    needed = PACKAGES.get(backend, ()) + (("nncf",) if precision == "int8" else ())
    return [name for name in needed if find_spec(name) is None]


def accelerate(
    model: InferenceModel,
    backend: str = "torch",
    precision: str = "fp32",
    device: torch.device | None = None,
    calibration: Iterable[Tensor] = (),
) -> LazyModel:
    """The same detections in the fastest way of a backend; the model itself is not changed.

    model: in float32, on the CPU. device: where torch is to run it; other backends run on the CPU.
    calibration: for int8, training pictures [1, 3, H, W] uint8 on the canvas. The choice has been checked.
    """
    assert isinstance(model.detector, Detector)
    detector = fold_batch_norm(model.detector, torch.zeros(1, 3, *PROBE_SIZE, dtype=torch.uint8))
    assert isinstance(detector.head, AnchorDecoupledHead)
    branches: Branches
    if backend == "torch":
        branches = TorchBranches(detector, precision).to(device or "cpu")
    elif backend == "onnxruntime":
        branches = _onnxruntime_branches(detector, detector.head)
    else:
        branches = _openvino_branches(detector, detector.head, precision, calibration)
    return LazyModel(model, detector.head, branches).eval()


def _onnxruntime_branches(detector: Detector, head: AnchorDecoupledHead) -> GraphBranches:
    from foveal.runtime.backends_onnxruntime import onnxruntime_run

    return GraphBranches(
        onnxruntime_run(export_class_branch(detector)), onnxruntime_run(export_box_branch(head))
    )


def _openvino_branches(
    detector: Detector, head: AnchorDecoupledHead, precision: str, calibration: Iterable[Tensor]
) -> GraphBranches:
    from foveal.runtime.backends_openvino import openvino_run

    class_graph, box_graph = export_class_branch(detector), export_box_branch(head)
    if precision != "int8":
        return GraphBranches(openvino_run(class_graph, precision), openvino_run(box_graph, precision))
    images = list(calibration)
    levels = len(head.strides)
    in_float = openvino_run(class_graph, "fp32")
    crops = [
        x[:, :CALIBRATION_CROP, :CALIBRATION_CROP].clone()
        for image in images
        for x in in_float(image)[levels:]
    ]
    return GraphBranches(
        openvino_run(class_graph, precision, images, levels), openvino_run(box_graph, precision, crops, 1)
    )
