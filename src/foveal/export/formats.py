"""A model -> the files of one format, and what runs them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from foveal.checkpoint.header import CheckpointHeader
from foveal.errors import UsageError
from foveal.export.graph import DetectionGraph, RawGraph, onnx_graph
from foveal.export.onnx_file import onnx_file
from foveal.export.raw import decoded_by_script, decoder_script
from foveal.export.stages import StageGraph
from foveal.export.torch_file import TorchvisionGraph, exported_program, load_torch_file, torch_file
from foveal.export.triton import triton_config
from foveal.models.inference import InferenceModel
from foveal.runtime.backends import check_installed
from foveal.runtime.exported import INPUT, Detect, read_exported, run_exported
from foveal.runtime.graph import Run
from foveal.types import BatchDetections

Format = Literal["onnx", "openvino", "torch", "triton"]
FORMATS: tuple[Format, ...] = get_args(Format)
Precision = Literal["fp32", "fp16", "int8"]
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "triton": ""}
RUNS_IN = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch", "triton": "onnxruntime"}
"""The program whose detections are compared with torch's; a Triton server runs the file in ONNX Runtime."""
NEEDED = {"openvino": "openvino", "onnx": "onnxruntime", "triton": "onnxruntime"}


class Form(NamedTuple):
    """What a model is to be exported as."""

    format: Format
    precision: Precision = "fp32"
    raw: bool = False


def check_form(form: Form) -> None:
    """UsageError, with what to do, where there is no such export, or a package for it is missing."""
    if form.format not in FORMATS:
        raise UsageError(f"--to {form.format}: not known; use {', '.join(FORMATS)}")
    if form.format == "torch" and form.precision != "fp32":
        raise UsageError(f"--to torch is in float32; for {form.precision} take --to onnx or --to openvino")
    if form.raw and (form.precision == "int8" or form.format == "triton"):
        other = "--int8" if form.precision == "int8" else "--to triton"
        raise UsageError(f"--raw does not go with {other}: leave one of them out")
    if form.format in NEEDED:
        check_installed(NEEDED[form.format], "int8" if form.precision == "int8" else "fp32")


def files_of(form: Form, place: Path) -> list[Path]:
    """Every file of an export under that name, in the order of writing: what others need comes first."""
    if form.format == "triton":
        return [place / "1" / "model.onnx", place / "config.pbtxt"]
    name = re.sub(r"\W", "_", place.stem)  # such as Python can import
    script = [place.with_name(f"decode_{name}.py")] if form.raw else []
    weights = [place.with_suffix(".bin")] if form.format == "openvino" else []
    return [*script, *weights, place]


def graph_of(form: Form, model: InferenceModel) -> DetectionGraph:
    """The module that is written."""
    if form.raw:
        return RawGraph(model)
    return TorchvisionGraph(model) if form.format == "torch" else DetectionGraph(model)


def write_form(
    form: Form,
    graph: DetectionGraph,
    header: CheckpointHeader,
    place: Path,
    examples: Sequence[Tensor] = (),
) -> None:
    """Write every file of ``files_of``. graph: as ``graph_of`` gives it. examples: for int8, to calibrate on.

    UsageError where the network cannot be written as a graph.
    """
    half = form.precision == "fp16"
    if isinstance(graph, RawGraph):
        files_of(form, place)[0].write_text(decoder_script(), encoding="utf-8")
    if form.format == "torch":
        place.write_bytes(torch_file(graph, header))
        return
    content = onnx_graph(graph)
    if form.format == "openvino":
        from foveal.export.openvino_file import openvino_model, write_openvino

        model = openvino_model(content)
        write_openvino(_quantised(form, model, examples), header, place, half)
        return
    content = onnx_file(_quantised(form, content, examples), header, half)
    if form.format == "onnx":
        place.write_bytes(content)
        return
    file, config = files_of(form, place)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    config.write_text(triton_config(header, graph.model.detections_per_img), encoding="utf-8")


def _quantised(form: Form, model: Any, examples: Sequence[Tensor]) -> Any:
    if form.precision != "int8":
        return model
    from foveal.export.quantised import quantise_onnx, quantise_openvino

    return (quantise_openvino if form.format == "openvino" else quantise_onnx)(model, examples)


def run_form(form: Form, place: Path, header: CheckpointHeader) -> Detect:
    """What gives the detections of the files that were written."""
    if form.raw:
        return decoded_by_script(_raw_run(form, place), header.facts["export"]["raw"])
    if form.format == "torch":
        run = load_torch_file(place.read_bytes())
        return lambda images: BatchDetections(*run(images))
    file = files_of(form, place)[0] if form.format == "triton" else place
    return run_exported(read_exported(file), RUNS_IN[form.format], "fp32")


def _raw_run(form: Form, place: Path) -> Run:
    if form.format == "torch":
        return load_torch_file(place.read_bytes())
    if form.format == "openvino":
        from foveal.runtime.backends_openvino import openvino_run

        return openvino_run(place, "fp32")
    from foveal.runtime.backends_onnxruntime import onnxruntime_run

    return onnxruntime_run(place.read_bytes(), INPUT)


def run_stages(form: Form, graph: StageGraph) -> Run:
    """The graph with every stage as an output, exported in the same way and ready to run."""
    if form.format == "torch":
        module: Callable[..., Sequence[Tensor]] = exported_program(graph).module()

        def run(images: Tensor) -> list[Tensor]:
            with torch.inference_mode():
                return list(module(images))

        return run
    content = onnx_graph(graph)
    if form.format == "openvino":
        from foveal.runtime.backends_openvino import openvino_run

        return openvino_run(content, "fp32")
    from foveal.runtime.backends_onnxruntime import onnxruntime_run

    return onnxruntime_run(content, INPUT)
