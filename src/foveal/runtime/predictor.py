"""A checkpoint ready to use: pictures in, detections in the pictures' own pixels out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from foveal.build import build_detector, build_inference
from foveal.checkpoint.format import Checkpoint, CheckpointHeader, load_checkpoint
from foveal.config.schema import Model
from foveal.errors import ModelFileError, UsageError
from foveal.models.inference import InferenceModel
from foveal.ops.letterbox import undo_boxes
from foveal.runtime.backends import accelerate, check_choice
from foveal.runtime.calibration import calibration_images
from foveal.runtime.detections import Detections
from foveal.runtime.device import resolve_device
from foveal.runtime.pictures import Picture, load_picture, place_picture
from foveal.types import Array

DEFAULT_THRESHOLD = 0.3
"""Score from which a detection is shown where the checkpoint stores no threshold for its class."""


def load_inference(checkpoint: Checkpoint, source: str | Path) -> InferenceModel:
    """The model of a checkpoint, in evaluation mode. source: the file, for the error.

    ModelFileError where the weights do not fit the configuration in the header.
    """
    model = _model_of(checkpoint.header, source)
    detector = build_detector(model, len(checkpoint.header.classes.names), pretrained=False)
    try:
        detector.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelFileError(f"{source}: the weights do not fit the model in its header: {reason}") from None
    return build_inference(detector, model).eval()


def _model_of(header: CheckpointHeader, source: str | Path) -> Model:
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


class Predictor:
    """``Predictor("best.safetensors")("cat.jpg")`` -> ``Detections``.

    model: a checkpoint file. device: auto, cpu, cuda, cuda:1, mps. score_thresh: one threshold for all
    classes, or one per class name; None takes those stored in the checkpoint.
    backend, precision: torch runs fp32 and bf16; openvino fp32, bf16 and int8; onnxruntime fp32; the last two on
    the CPU. calibration: for int8, pictures like those to come; None takes the training set's own.
    A predictor works for one thread at a time.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "auto",
        score_thresh: float | Mapping[str, float] | None = None,
        backend: str = "torch",
        precision: str = "fp32",
        calibration: Sequence[Picture] | None = None,
    ) -> None:
        check_choice(backend, precision, device)
        checkpoint = load_checkpoint(model)
        self.header = checkpoint.header
        self.classes = checkpoint.header.classes
        self.canvas = canvas_of(checkpoint.header)
        self.device = resolve_device(device if backend == "torch" else "cpu")
        images = calibration_images(self.header, self.canvas, calibration)
        plain = load_inference(checkpoint, model)
        self.model = accelerate(plain, backend, precision, self.device, images)
        self.thresholds = self._thresholds(score_thresh)

    def __call__(self, picture: Picture) -> Detections:
        """Detections of one picture, best first. DataError where it cannot be read."""
        return next(self.stream([picture]))

    def stream(self, pictures: Iterable[Picture], batch_size: int = 1) -> Iterator[Detections]:
        """Detections of many pictures, in order, ``batch_size`` at a time through the network."""
        for group in _batched(pictures, batch_size):
            arrays = [load_picture(picture) for picture in group]
            yield from self._detect(arrays)

    @torch.inference_mode()
    def _detect(self, arrays: list[Array]) -> Iterator[Detections]:
        placed = [place_picture(array, self.canvas) for array in arrays]
        images = torch.stack([image for image, _ in placed]).to(self.device)
        found = self.model(images)
        limits = torch.tensor([self.thresholds[name] for name in self.classes.names])
        for i, (_, letterbox) in enumerate(placed):
            n = int(found.count[i])
            scores, labels = found.scores[i, :n].cpu(), found.labels[i, :n].cpu()
            keep = scores > limits[labels]
            boxes = undo_boxes(found.boxes[i, :n].cpu(), letterbox)[keep]
            names = tuple(self.classes.names[label] for label in labels[keep].tolist())
            yield Detections(
                boxes, scores[keep], labels[keep], names, letterbox.height, letterbox.width, arrays[i]
            )

    def _thresholds(self, given: float | Mapping[str, float] | None) -> dict[str, float]:
        stored = self.header.thresholds
        if isinstance(given, Mapping):
            unknown = sorted(set(given) - set(self.classes.names))
            if unknown:
                raise UsageError(
                    f"threshold for {unknown[0]!r}: the model knows {', '.join(self.classes.names)}"
                )
            return {name: given.get(name, stored.get(name, DEFAULT_THRESHOLD)) for name in self.classes.names}
        if given is not None:
            return dict.fromkeys(self.classes.names, given)
        return {name: stored.get(name, DEFAULT_THRESHOLD) for name in self.classes.names}


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
