"""An ONNX file looked at before anything runs it: it comes from anywhere, and must stand by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

MOST_NUMBERS = 1 << 31
"""Of one tensor that a shape in the file asks for: more than any network of ours computes at once."""
SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Reshape": 1, "Range": 1, "OneHot": 1}
"""Operators that make a tensor as large as one of their inputs says, and which."""
MOST_PARTS = 300_000
"""Fields of the file, in all that lies in it; a ResNet-50's has 20,000. Two bytes of it may become an object."""
ENDLESS = ("Loop", "Scan", "SequenceMap")
"""Operators that run a graph as often as the file says."""
VARINT, LENGTH_FOLLOWS = 0, 2
FIXED = {1: 8, 5: 4}
LONGEST_NUMBER = 10
"""Protobuf's wire types, the bytes of those of a fixed length, and of a number (protobuf.dev, "Encoding")."""
OWN = ("", "ai.onnx")
"""Names of ONNX's own set of operators; any other needs code that is not in the file."""


def read_onnx(path: Path, content: bytes) -> tuple[dict[str, str], list[str], list[str]]:
    """The texts among its metadata by key, and the names of inputs and outputs.

    ModelFileError where it is no ONNX file, keeps data in other files, which could be any on this machine, needs
    operators that are not ONNX's own or need not end, has far more parts than a network, or asks for a tensor of a
    size that no network has.
    """
    import onnx
    from google.protobuf.message import DecodeError

    _check_parts(path, content)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise _not_onnx(path) from error
    if not model.graph.node:
        raise ModelFileError(f"{path}: not an ONNX file, or an empty one; export it again")
    for graph in (model.graph, *model.functions):
        _check(path, graph)
    texts = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_text(x.name) for x in model.graph.input if x.name not in weights]
    return texts, inputs, [_text(x.name) for x in model.graph.output]


def _not_onnx(path: Path) -> ModelFileError:
    return ModelFileError(f"{path}: not an ONNX file, or a damaged one; export it again")


def _check_parts(path: Path, content: bytes) -> None:
    """ModelFileError for a file of far more parts than a network has, before any of them is made an object.

    Goes over protobuf's wire format; what is damaged there, protobuf itself says later.
    """
    import onnx

    seen = 0
    known: dict[str, dict[int, Any]] = {}
    waiting = [(0, len(content), onnx.ModelProto.DESCRIPTOR)]
    while waiting:
        at, end, kind = waiting.pop()
        if kind.full_name not in known:
            known[kind.full_name] = {field.number: field.message_type for field in kind.fields}
        inside = known[kind.full_name]
        while at < min(end, len(content)):
            seen += 1
            if seen > MOST_PARTS:
                raise ModelFileError(f"{path}: over {MOST_PARTS:,} parts: no file of ours has so many")
            tag, at = _number(content, at)
            if tag & 7 == LENGTH_FOLLOWS:
                size, at = _number(content, at)
                if size and inside.get(tag >> 3) is not None:
                    waiting.append((at, at + size, inside[tag >> 3]))
                at += size
            elif tag & 7 == VARINT:
                _, at = _number(content, at)
            elif tag & 7 in FIXED:
                at += FIXED[tag & 7]
            else:  # a group, in which as much could hide; ONNX has none
                raise _not_onnx(path)


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where what follows it begins; the file's end where it is none."""
    value = 0
    for shift, byte in enumerate(content[at : at + LONGEST_NUMBER]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    return value, len(content)


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
        if node.op_type in ENDLESS:
            raise ModelFileError(
                f"{path}: runs a graph again and again ({node.op_type}), which might never end; Foveal runs what "
                "foveal export wrote"
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
