"""The ONNX file: one graph with its weights, and the header as a property."""

from __future__ import annotations

from foveal.checkpoint.header import HEADER, CheckpointHeader, header_text
from foveal.runtime.seal import SEAL, UNSEALED, seal
from foveal.version import __version__


def onnx_file(graph: bytes, header: CheckpointHeader, fp16: bool = False) -> bytes:
    """The content of the file. graph: as ``onnx_graph`` writes it. fp16: weights in half the bytes."""
    import onnx

    model = onnx.ModelProto.FromString(graph)
    if fp16:
        _halve_weights(model)
    model.producer_name, model.producer_version = "foveal", __version__
    del model.metadata_props[:]
    model.metadata_props.add(key=HEADER, value=header_text(header))
    model.metadata_props.add(key=SEAL, value=UNSEALED)
    return seal(model.SerializeToString())


def _halve_weights(model: object) -> None:
    """Stores float32 tensors of a hundred numbers and more as float16, and turns each back where it is used.

    A runtime does that once, when it loads the file; all arithmetic stays in float32.
    """
    import numpy as np
    from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

    assert isinstance(model, ModelProto)
    casts: list[NodeProto] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < 100:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            continue  # beyond what float16 holds
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}_fp32", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
