"""An ONNX file looked at before anything runs it: it comes from anywhere, and must stand by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

MOST_NUMBERS = 1 << 31
"""Of one tensor that a shape in the file asks for: more than any network of ours computes at once."""
SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Reshape": 1}
"""Operators that make a tensor as large as one of their inputs says, and which."""
OWN = ("", "ai.onnx")
"""Names of ONNX's own set of operators; any other needs code that is not in the file."""


def read_onnx(path: Path, content: bytes) -> tuple[dict[str, str], list[str], list[str]]:
    """The texts among its metadata by key, and the names of inputs and outputs.

    ModelFileError where it is no ONNX file, keeps data in other files, which could be any on this machine, needs
    operators that are not ONNX's own, or asks for a tensor of a size that no network has.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelFileError(f"{path}: not an ONNX file, or a damaged one; export it again") from error
    if not model.graph.node:
        raise ModelFileError(f"{path}: not an ONNX file, or an empty one; export it again")
    for graph in (model.graph, *model.functions):
        _check(path, graph)
    texts = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_text(x.name) for x in model.graph.input if x.name not in weights]
    return texts, inputs, [_text(x.name) for x in model.graph.output]


def _text(value: str | bytes) -> str:
    """A text of the file; protobuf gives bytes where it is not UTF-8."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _check(path: Path, graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """ModelFileError for what a graph, or one inside it, must not ask for."""
    stored: dict[str, onnx.TensorProto] = {}
    for tensor in getattr(graph, "initializer", ()):
        stored[tensor.name] = tensor
        _check_tensor(path, tensor)
    for sparse in getattr(graph, "sparse_initializer", ()):
        _check_tensor(path, sparse.values)
        _check_tensor(path, sparse.indices)
        _check_size(path, sparse.dims)
    for node in graph.node:
        if node.domain not in OWN:
            raise ModelFileError(
                f"{path}: needs the operator {_text(node.op_type)} of {_text(node.domain)}, which is not "
                "ONNX's own; Foveal runs what foveal export wrote"
            )
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors):
                _check_tensor(path, tensor)
                if node.op_type == "Constant" and node.output:
                    stored[node.output[0]] = tensor
        place = SHAPED.get(node.op_type)
        if place is not None and len(node.input) > place and node.input[place] in stored:
            _check_size(path, _numbers(stored[node.input[place]]))
        for inner in _inner(node):
            _check(path, inner)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs inside a node."""
    for attribute in node.attribute:
        yield from (graph for graph in (attribute.g, *attribute.graphs) if graph.node or graph.initializer)


def _check_tensor(path: Path, tensor: onnx.TensorProto) -> None:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelFileError(
            f"{path}: keeps weights in other files, which are not opened; export it as one file"
        )
    _check_size(path, tensor.dims)


def _check_size(path: Path, dims: object) -> None:
    sides = [abs(int(side)) for side in dims]  # type: ignore[attr-defined]
    if math.prod(side for side in sides if side) > MOST_NUMBERS:
        shape = " x ".join(str(side) for side in sides)
        raise ModelFileError(
            f"{path}: asks for a tensor of {shape} numbers; Foveal runs what foveal export wrote"
        )


def _numbers(tensor: onnx.TensorProto) -> list[int]:
    """What a small tensor of whole numbers holds; nothing of any other."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.INT64 or math.prod(tensor.dims) > 16:
        return []
    try:
        return [int(x) for x in numpy_helper.to_array(tensor).ravel()]
    except (ValueError, TypeError):
        return []
