"""OpenVINO on the CPU: float32, bfloat16, or bytes after calibration."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveal.errors import UsageError
from foveal.runtime.graph import Run


def openvino_run(
    graph: bytes | Path, precision: str, examples: Sequence[Tensor] = (), in_float: int = 0
) -> Run:
    """An ONNX graph, or OpenVINO's file, on as many threads as torch uses. Outputs lie in OpenVINO's own memory.

    examples: inputs to calibrate int8 on. in_float: the first outputs, so many, whose last convolution int8
    leaves alone. UsageError for bf16 where the processor has no such arithmetic.
    """
    core = the_core()
    model = core.read_model(graph)
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and not has_bf16:
        raise UsageError(
            "this processor has no bfloat16 arithmetic; take --precision fp32, or --backend torch"
        )
    if precision == "int8":
        model = quantise(model, examples, in_float)
    settings = {
        # Stated always: left alone, OpenVINO takes bfloat16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": "bf16" if precision != "fp32" and has_bf16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(x: Tensor) -> list[Tensor]:
        found = request.infer([x.numpy()], share_inputs=True, share_outputs=True)
        return [torch.from_numpy(output) for output in found.values()]

    return run


@cache
def the_core() -> Any:
    """The one Core of the process, which lives as long as the process.

    Where the processor has AMX, each Core gives its thread a stack for signals and, when it goes, puts back the
    one before. Were Cores to go in another order than last first, a stack that is gone would be put back, and
    the next signal, such as the end of a child process, would end this one (OpenVINO 2026.4).
    """
    return import_openvino().Core()


def quantise(model: Any, examples: Sequence[Tensor], in_float: int) -> Any:
    """The OpenVINO model with its convolutions on bytes, but for the last ones of its first outputs.

    The rounding of a last convolution would go straight into scores and boxes.
    """
    last = [_convolution_before(output).get_friendly_name() for output in model.outputs[:in_float]]
    with quiet_nncf() as nncf:
        quantised = nncf.quantize(
            model,
            nncf.Dataset([x.contiguous().numpy() for x in examples]),
            subset_size=len(examples),
            ignored_scope=nncf.IgnoredScope(names=last),
        )
    for output in quantised.outputs[in_float:]:
        _give_out_rounded(output)
    return quantised


@contextmanager
def quiet_nncf() -> Iterator[Any]:
    """NNCF, whose progress goes to a person, and not into a file that takes our output."""
    nncf = import_nncf()
    with redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        yield nncf


def import_nncf() -> Any:
    """NNCF, quiet: left alone, it reports every use over the network, and decides on that when imported."""
    os.environ["NNCF_CI"] = "1"
    _tell_nobody()
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def import_openvino() -> Any:
    """OpenVINO, quiet: left alone, it reports over the network that it was imported, and marks the home folder."""
    _tell_nobody()
    import openvino

    return openvino


def _tell_nobody() -> None:
    """OpenVINO and NNCF do without the package that reports for them where it cannot be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _give_out_rounded(output: Any) -> None:
    """Take an output that other convolutions use, too, behind the rounding that they see.

    Where a map goes out as it is and rounded into a convolution, OpenVINO 2026.4 gives that convolution zeros.
    """
    layout = output.get_node().input_value(0).get_node()
    for user in layout.input_value(0).get_target_inputs():
        if user.get_node().get_type_name() == "FakeQuantize":
            layout.input(0).replace_source_output(user.get_node().output(0))
            return


def _convolution_before(output: Any) -> Any:
    """The convolution whose result, with its bias, an output is."""
    node = output.get_node()
    while node.get_type_name() != "Convolution":
        node = node.input_value(0).get_node()
    return node
