"""ONNX Runtime on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from foveal.runtime.graph import Run


def onnxruntime_run(graph: bytes, name: str = "x") -> Run:
    """An ONNX graph with an input of that name, as it is, on as many threads as torch uses."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows it tells the system of every session
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait would take the processor from those of torch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in session.run(None, {name: x.numpy()})]

    return run
