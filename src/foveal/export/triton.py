"""A model folder for NVIDIA Triton: ``config.pbtxt`` and ``1/model.onnx``; its parent is the model repository."""

from __future__ import annotations

from foveal.checkpoint.header import HEADER, CheckpointHeader, header_text

MAX_BATCH = 8
"""Requests that are put together at most."""
QUEUE_MICROSECONDS = 2000
"""How long a request waits for others."""


def triton_config(header: CheckpointHeader, detections_per_img: int | None) -> str:
    """The text of ``config.pbtxt``. It names no model: Triton then takes the folder's name, whatever that is."""
    most = -1 if detections_per_img is None else detections_per_img
    outputs = (
        ("boxes", "TYPE_FP32", f"[ {most}, 4 ]", ""),
        ("scores", "TYPE_FP32", f"[ {most} ]", ""),
        ("labels", "TYPE_INT64", f"[ {most} ]", ""),
        ("count", "TYPE_INT64", "[ 1 ]", " reshape { shape: [ ] }"),
    )
    rows = ",\n".join(
        f'  {{ name: "{key}" data_type: {kind} dims: {dims}{reshape} }}'
        for key, kind, dims, reshape in outputs
    )
    return f"""\
platform: "onnxruntime_onnx"
max_batch_size: {MAX_BATCH}
input [
  {{ name: "images" data_type: TYPE_UINT8 dims: [ 3, -1, -1 ] }}
]
output [
{rows}
]
dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_MICROSECONDS} }}
parameters {{
  key: "{HEADER}"
  value {{ string_value: {_quoted(header_text(header))} }}
}}
"""


def _quoted(text: str) -> str:
    """A string of protobuf's text format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
