"""Any file of a model, opened: a checkpoint, or what was exported from one; the same detections from each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from foveal.build import build_detector, build_inference
from foveal.checkpoint.format import Checkpoint, load_checkpoint
from foveal.checkpoint.header import CheckpointHeader, damaged
from foveal.config.schema import Model
from foveal.errors import ModelFileError, UsageError
from foveal.models.inference import InferenceModel
from foveal.ops.letterbox import STRIDE_MULTIPLE
from foveal.runtime.backends import accelerate, check_choice
from foveal.runtime.device import resolve_device
from foveal.runtime.exported import SUFFIXES, Detect, ExportedFile, is_exported, read_exported, run_exported

LARGEST_SIDE = 16384
"""Pixels of a canvas' side, as for a tile."""


@dataclass(frozen=True)
class ModelFile:
    """A file that was read and checked, and what is to run it; nothing runs yet."""

    path: Path
    content: Checkpoint | ExportedFile
    backend: str
    precision: str
    device: torch.device

    @property
    def header(self) -> CheckpointHeader:
        """What the file says about its model."""
        return self.content.header

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return canvas_of(self.header)

    @property
    def settings(self) -> Model:
        """The model section in its header. ModelFileError: ``model_of``."""
        return model_of(self.header, self.path)

    def start(self, calibration: Iterable[Tensor] = ()) -> Detect:
        """What gives its detections. calibration: as for ``accelerate``."""
        if isinstance(self.content, ExportedFile):
            return run_exported(self.content, self.backend, self.precision)
        plain = load_inference(self.content, self.path)
        return accelerate(plain, self.backend, self.precision, self.device, calibration)


def open_model(
    path: str | Path, backend: str = "auto", precision: str = "fp32", device: str = "auto"
) -> ModelFile:
    """Read the file of a model, and check that backend, precision and device go with it and with each other.

    backend: ``auto`` is torch for a checkpoint, and for an exported file the program that it was written for.
    UsageError where they do not go together; ModelFileError where the file is no model of ours, or is damaged.
    """
    path = Path(path)
    _check_kind(path)
    if is_exported(path):
        backend = _backend_of(path, backend, precision)
    elif backend == "auto":
        backend = "torch"
    check_choice(backend, precision, device)
    content = read_exported(path) if is_exported(path) else load_checkpoint(path)
    check_canvas(path, content.header)
    return ModelFile(
        path, content, backend, precision, resolve_device(device if backend == "torch" else "cpu")
    )


def _check_kind(path: Path) -> None:
    """ModelFileError for a file that ``foveal export`` wrote and that is not the one to open."""
    suffix, graph = path.suffix.lower(), path.with_suffix(".xml")
    if suffix == ".bin" and graph.is_file():
        raise ModelFileError(
            f"{path}: the weights of an OpenVINO model; give {graph}, which stands beside it"
        )
    if suffix == ".pt2" and path.is_file():
        raise ModelFileError(
            f"{path}: a torch.export model, which torch and torchvision run; here give its checkpoint, or what "
            "foveal export --to onnx or openvino makes of that"
        )


def load_inference(checkpoint: Checkpoint, source: str | Path) -> InferenceModel:
    """The model of a checkpoint, in evaluation mode. source: the file, for the error.

    ModelFileError where the weights do not fit the configuration in the header.
    """
    model = model_of(checkpoint.header, source)
    detector = build_detector(model, len(checkpoint.header.classes.names), pretrained=False)
    try:
        detector.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelFileError(f"{source}: the weights do not fit the model in its header: {reason}") from None
    return build_inference(detector, model).eval()


def model_of(header: CheckpointHeader, source: str | Path) -> Model:
    """The model section in a checkpoint's header. source: the file, for the error.

    ModelFileError where this version cannot build it.
    """
    try:
        return Model.model_validate(header.config["model"])
    except (KeyError, ValidationError) as error:
        reason = "it has no section 'model'" if isinstance(error, KeyError) else str(error.errors()[0]["msg"])
        raise ModelFileError(
            f"{source}: Foveal {header.version} wrote a configuration that this one cannot build: {reason}; "
            "take that version, or train anew"
        ) from error


def canvas_of(header: CheckpointHeader) -> tuple[int, int]:
    """Height and width of the canvas that a checkpoint's model was trained on."""
    return int(header.size_policy["height"]), int(header.size_policy["width"])


def check_canvas(path: Path, header: CheckpointHeader) -> None:
    """The error for a file whose size policy gives no canvas that a network of ours takes."""
    try:
        sides = canvas_of(header)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise damaged(path, "its size policy names no canvas") from error
    if not all(0 < side <= LARGEST_SIDE and side % STRIDE_MULTIPLE == 0 for side in sides):
        raise damaged(path, f"its canvas is {sides[0]} x {sides[1]}")


def _backend_of(path: Path, backend: str, precision: str) -> str:
    """The program for an exported file. UsageError where it cannot run there, or in that precision."""
    own = SUFFIXES[path.suffix.lower()]
    able = (own,) if own == "openvino" else (own, "openvino")
    chosen = own if backend == "auto" else backend
    if chosen not in able:
        raise UsageError(
            f"{path} does not run in {backend}; take --backend {' or '.join(able)}, or leave it out"
        )
    if precision == "int8":
        raise UsageError(f"{path} was exported as it is; for int8, export its checkpoint with --int8")
    return chosen
