"""A whole graph with its convolutions on bytes: weights and what goes in, by the ranges that real pictures show.

The last convolutions stay in float, since their rounding would go straight into scores and boxes; so does all that
comes after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from foveal.runtime.backends_openvino import quiet_nncf
from foveal.runtime.exported import INPUT

LAST = ("cls_logits.weight", "bbox_pred.weight", "cls_logits.bias", "bbox_pred.bias")
"""Ends of the names of the last convolutions' parameters."""


def quantise_openvino(model: Any, examples: Sequence[Tensor]) -> Any:
    """OpenVINO's model, its inner convolutions on bytes. examples: pictures [1, 3, H, W] uint8 on the canvas."""
    last = [node for node in model.get_ops() if node.get_type_name() == "Convolution" and _is_last(node)]
    before = _inputs_of(last)
    kept = [
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() not in ("Constant", "Parameter", "Result")
        and node.get_friendly_name() not in before
    ]
    with quiet_nncf() as nncf:
        return nncf.quantize(
            model,
            nncf.Dataset([x.contiguous().numpy() for x in examples]),
            subset_size=len(examples),
            ignored_scope=nncf.IgnoredScope(names=kept),
        )


def _is_last(node: Any) -> bool:
    return str(node.input_value(1).get_node().get_friendly_name()).endswith(LAST)


def _inputs_of(nodes: Iterable[Any]) -> set[str]:
    """Names of all that some nodes are made from, without themselves."""
    names: set[str] = set()
    left = [value.get_node() for node in nodes for value in node.input_values()]
    while left:
        node = left.pop()
        if node.get_friendly_name() not in names:
            names.add(node.get_friendly_name())
            left += [value.get_node() for value in node.input_values()]
    return names


def quantise_onnx(graph: bytes, examples: Sequence[Tensor]) -> bytes:
    """The same of an ONNX graph, as QuantizeLinear and DequantizeLinear around each convolution.

    By NNCF here, too: ONNX Runtime's own quantiser lost a point of AP where this lost none (docs/export.md).
    """
    import onnx

    model = onnx.ModelProto.FromString(graph)
    kept = [node.name for node in model.graph.node if node.op_type != "Conv" or _is_last_onnx(node)]
    with quiet_nncf() as nncf:
        quantised = nncf.quantize(
            model,
            nncf.Dataset([{INPUT: x.contiguous().numpy()} for x in examples]),
            subset_size=len(examples),
            ignored_scope=nncf.IgnoredScope(names=kept),
        )
    content: bytes = quantised.SerializeToString()
    return content


def _is_last_onnx(node: Any) -> bool:
    return any(name.endswith(LAST) for name in node.input)
