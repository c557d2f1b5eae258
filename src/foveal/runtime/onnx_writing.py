"""Modules written as ONNX graphs, with sizes left open; NMS becomes ONNX's own operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from foveal.errors import UsageError
from foveal.ops.letterbox import STRIDE_MULTIPLE
from foveal.ops.nms import KEPT_BY_NMS

EXAMPLE_PICTURES = torch.zeros(2, 3, 256, 384, dtype=torch.uint8)
"""What a graph is written from: two cells and more on P7, since a size of one stays for ever."""
MOST = 1_024
"""Largest batch, side of a picture in units of 32 pixels, and side of a map in units of 32 cells."""
ALL_BOXES = 1 << 30
"""Boxes that NMS may keep of a class: more than there ever are."""


def picture_sizes() -> dict[int, Any]:
    """Open sizes of pictures [B, 3, H, W], H and W in multiples of 32."""
    height, width = (STRIDE_MULTIPLE * torch.export.Dim(name, min=2, max=MOST) for name in ("h", "w"))
    return {0: torch.export.Dim("batch", min=1, max=MOST), 2: height, 3: width}


def map_sizes() -> dict[int, Any]:
    """Open sizes of a level's maps [B, h, w, C]."""
    height, width = (torch.export.Dim(name, min=1, max=MOST * STRIDE_MULTIPLE) for name in ("h", "w"))
    return {0: torch.export.Dim("batch", min=1, max=MOST), 1: height, 2: width}


def write_onnx(
    module: nn.Module,
    example: Tensor,
    sizes: dict[int, Any],
    inputs: Sequence[str],
    outputs: Sequence[str] | None = None,
) -> bytes:
    """The file of a module with one input. sizes: its open dimensions, as ``torch.export.Dim``.

    UsageError where the network cannot be written as a graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, for its authors
        try:
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                verbose=False,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=(sizes,),
                custom_translation_table=_translations(),
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise UsageError(
                f"this network cannot be written as an ONNX graph ({reason}); take --backend torch"
            ) from error
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    content: bytes = model.SerializeToString()
    return content


def _forget_origin(model: Any) -> None:
    """Takes out what the exporter notes of the source code: every line's file on this machine among it."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        entries = [graph, *graph.node, *graph.value_info]
        if graph is model.graph:
            entries += [*graph.input, *graph.output, *graph.initializer]
        for entry in entries:
            del entry.metadata_props[:]
            entry.ClearField("doc_string")


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operators of ours, and what stands for them in ONNX."""
    from onnxscript import opset18

    op: Any = opset18  # whose types ask for tensors of numbers that are known only later

    def kept_by_nms(boxes: Any, scores: Any, groups: Any, nms_thresh: float) -> Any:
        """Every group is a class of ONNX's NonMaxSuppression: scores are spread over [B, groups, C]."""
        zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
        last = op.ReduceMax(groups, keepdims=0)
        numbers = op.Unsqueeze(op.Range(zero, op.Add(last, one), one), op.Constant(value_ints=[0, 2]))
        second = op.Constant(value_ints=[1])
        own = op.Equal(op.Unsqueeze(groups, second), numbers)
        spread = op.Where(own, op.Unsqueeze(scores, second), op.Constant(value_float=0.0))
        found = op.NonMaxSuppression(
            boxes,
            spread,
            op.Constant(value_int=ALL_BOXES),
            op.Constant(value_float=nms_thresh),
            op.Constant(value_float=0.0),  # an empty place, whose score is 0, is not kept
        )
        place = op.Gather(found, op.Constant(value_ints=[0, 2]), axis=1)  # of (picture, group, candidate)
        nothing = op.Expand(zero, op.Shape(scores))
        ones = op.Expand(one, op.Shape(op.Gather(place, zero, axis=1)))
        return op.Cast(op.ScatterND(nothing, place, ones), to=9)  # 9: bool

    return {KEPT_BY_NMS: kept_by_nms}
