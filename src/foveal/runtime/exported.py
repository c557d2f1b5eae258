"""Exported files: an ONNX or OpenVINO graph that takes pictures and gives detections, with our header in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from foveal.checkpoint.header import HEADER, CheckpointHeader, parse_header
from foveal.errors import ModelFileError, UsageError, is_out_of_memory
from foveal.runtime.backends import check_installed
from foveal.runtime.graph import Run
from foveal.runtime.seal import SEAL, is_sealed
from foveal.types import BatchDetections

SUFFIXES = {".onnx": "onnxruntime", ".xml": "openvino"}
"""Which program runs a file of such a name, unless the user asks for another."""
INPUT = "images"
"""[B, 3, H, W] uint8, pictures on the canvas."""
OUTPUTS = ("boxes", "scores", "labels", "count")
"""As ``BatchDetections``."""
SIZE_LIMIT = 2 << 30
"""Bytes of a file that is opened: a protobuf cannot be larger."""
XML_LIMIT = 16 << 20
"""Bytes of an ``.xml``, which holds no weights; a ResNet-50's has two million."""
TAIL = 16 << 20
"""Bytes at the end of an ONNX file, behind its weights, among which a file of ours has its metadata."""

Detect = Callable[[Tensor], BatchDetections]
"""Pictures [B, 3, H, W] uint8 on the canvas -> detections in canvas pixels."""


class ExportedFile(NamedTuple):
    """A file of ours that was read and checked, and that nothing runs yet."""

    path: Path
    header: CheckpointHeader
    backend: str
    """The program it was written for."""
    graph: bytes | Path
    """An ONNX file's content, or where OpenVINO's ``.xml`` is, with its ``.bin`` beside it."""


def is_exported(path: str | Path) -> bool:
    """Whether a file is to be read as an exported one, by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def read_exported(path: str | Path) -> ExportedFile:
    """Read a file that ``foveal export`` wrote.

    ModelFileError where it is not one, or is damaged, or names data outside itself, or gives no detections.
    UsageError where a package that reads it is missing.
    """
    path = Path(path)
    backend = SUFFIXES[path.suffix.lower()]
    check_installed(backend)
    graph: bytes | Path
    beside = b""
    if backend == "onnxruntime":
        from foveal.runtime.onnx_reading import read_onnx

        _check_tail(path)
        graph = content = _content(path, SIZE_LIMIT)
        texts, inputs, outputs = read_onnx(path, content)
    else:
        from foveal.runtime.xml_reading import read_xml

        graph, content = path, _content(path, XML_LIMIT)
        texts, inputs, outputs = read_xml(path, content)
    if not texts.get(HEADER):
        raise _foreign(path, f"inputs {_names(inputs)}; outputs {_names(outputs)}")
    if backend == "openvino":
        beside = _content(
            path.with_suffix(".bin"), SIZE_LIMIT, f"the weights of {path.name}; copy both files"
        )
    if not is_sealed(content, texts.get(SEAL, ""), beside):
        what = "with the .bin beside it, " if beside else ""
        raise ModelFileError(
            f"{path}: damaged, {what}its SHA-256 does not fit; copy it again or export it again"
        )
    header = parse_header(path, texts[HEADER])
    if list(inputs) != [INPUT] or tuple(outputs) != OUTPUTS:
        raise ModelFileError(
            f"{path}: gives {_names(outputs)} and no detections, as written by foveal export --raw; "
            "decode them with the script beside it, or export without --raw"
        )
    return ExportedFile(path, header, backend, graph)


def _check_tail(path: Path) -> None:
    """ModelFileError for a large file without our metadata: to read all of it would take seconds."""
    try:
        size = path.stat().st_size
        if not path.is_file() or not TAIL < size <= SIZE_LIMIT:
            return
        with path.open("rb") as file:
            file.seek(size - TAIL)
            if SEAL.encode() not in file.read():
                raise _foreign(path, f"{size >> 20} MB without Foveal's metadata at its end")
    except OSError:
        return  # which reading it whole will say


def _foreign(path: Path, facts: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: a model of another program ({facts}); Foveal runs what foveal export wrote"
    )


def _content(path: Path, limit: int, meaning: str = "foveal export writes one from a checkpoint") -> bytes:
    """The bytes of a file. meaning: for the error where it is not there. ModelFileError over ``limit`` bytes."""
    try:
        if path.is_dir():
            raise ModelFileError(f"{path}: a folder, not a model file")
        if path.stat().st_size > limit:
            raise ModelFileError(f"{path}: over {limit >> 20} MB: no file of ours is so large")
        if not path.is_file():  # a pipe would make us wait, a device would never end
            raise ModelFileError(f"{path}: a pipe or a device, not a model file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file; {meaning}") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def run_exported(file: ExportedFile, backend: str, precision: str) -> Detect:
    """The file's graph, ready to run on the CPU. backend: an ONNX file runs in either, OpenVINO's in its own."""
    try:
        run = _start(file, backend, precision)
    except UsageError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _cannot_run(file, backend, error, "") from error

    def detect(images: Tensor) -> BatchDetections:
        try:
            outputs = run(images.contiguous())
        except Exception as error:
            if is_out_of_memory(error):
                raise
            shape = " x ".join(str(side) for side in images.shape)
            raise _cannot_run(file, backend, error, f" on {shape}") from error
        # Cloned, as the next call may write over what this one gave out.
        boxes, scores, labels, count = (output.clone() for output in outputs)
        return BatchDetections(boxes, scores, labels, count)

    return detect


def _cannot_run(file: ExportedFile, backend: str, error: Exception, what: str) -> ModelFileError:
    """The error for a graph that a program, each of which has errors of its own, cannot run."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelFileError(f"{file.path}: does not run in {backend}{what} ({reason}); export it again")


def _start(file: ExportedFile, backend: str, precision: str) -> Run:
    if backend == "onnxruntime":
        from foveal.runtime.backends_onnxruntime import onnxruntime_run

        assert isinstance(file.graph, bytes)
        return onnxruntime_run(file.graph, INPUT)
    from foveal.runtime.backends_openvino import openvino_run

    return openvino_run(file.graph, precision)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
