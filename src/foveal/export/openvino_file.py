"""OpenVINO's two files: ``.xml`` with the graph and the header, ``.bin`` with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foveal.checkpoint.header import HEADER, CheckpointHeader, header_text
from foveal.runtime.backends_openvino import import_openvino, the_core
from foveal.runtime.seal import SEAL, UNSEALED, seal


def openvino_model(graph: bytes) -> Any:
    """OpenVINO's model of an ONNX graph."""
    return the_core().read_model(graph)


def write_openvino(model: Any, header: CheckpointHeader, path: Path, fp16: bool = False) -> None:
    """Write ``path`` (``.xml``) and its ``.bin``. model: as ``openvino_model`` gives it. fp16: weights in half the
    bytes; arithmetic stays in float32. OSError where they cannot be written.
    """
    # What was done to the model says so in its own words, with paths and options of the tool that did it.
    for key in list(model.get_rt_info()):
        del model.get_rt_info()[key]
    model.set_rt_info(header_text(header), [HEADER])
    model.set_rt_info(UNSEALED, [SEAL])
    try:
        import_openvino().save_model(model, path, compress_to_fp16=fp16)
    except RuntimeError as error:  # "iostream error", of a full disk
        raise OSError(None, "OpenVINO could not write it") from error
    path.write_bytes(seal(path.read_bytes(), path.with_suffix(".bin").read_bytes()))
