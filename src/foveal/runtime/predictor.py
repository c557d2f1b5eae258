"""A checkpoint ready to use: pictures in, detections in the pictures' own pixels out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from foveal.build import build_detector, build_inference
from foveal.checkpoint.format import Checkpoint, CheckpointHeader, load_checkpoint
from foveal.config.schema import Model
from foveal.errors import ModelFileError, UsageError
from foveal.models.inference import InferenceModel
from foveal.ops.letterbox import undo_boxes
from foveal.ops.merge_tiles import Merged, TileDetections, merge_tiles
from foveal.runtime.backends import accelerate, check_choice
from foveal.runtime.calibration import calibration_images
from foveal.runtime.detections import Detections
from foveal.runtime.device import resolve_device
from foveal.runtime.pictures import Picture, load_picture, place_picture
from foveal.runtime.tiling import TileSize, choose_tiling
from foveal.types import Array

TILES_AT_ONCE = 4
"""Tiles of a picture that go through the network together: however large it is, memory is that of so many."""
DEFAULT_THRESHOLD = 0.3
"""Score from which a detection is shown where the checkpoint stores no threshold for its class."""


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


class Predictor:
    """``Predictor("best.safetensors")("cat.jpg")`` -> ``Detections``.

    model: a checkpoint file. device: auto, cpu, cuda, cuda:1, mps. score_thresh: one threshold for all
    classes, or one per class name; None takes those stored in the checkpoint.
    tiles: large pictures are detected on in tiles of this size, in their own pixels, and the tiles' detections are
    merged: a side, (height, width), or "none"; None takes the tiles that the checkpoint was trained with. overlap:
    share of a tile that its neighbour shows, too; None takes the checkpoint's, or 0.2.
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
        tiles: TileSize | None = None,
        overlap: float | None = None,
    ) -> None:
        check_choice(backend, precision, device)
        checkpoint = load_checkpoint(model)
        self.header = checkpoint.header
        self.tiling = choose_tiling(self.header, tiles, overlap)
        self.postprocessor = model_of(self.header, model).postprocessor.params
        self.classes = checkpoint.header.classes
        self.canvas = canvas_of(checkpoint.header)
        self.device = resolve_device(device if backend == "torch" else "cpu")
        images = calibration_images(self.header, self.canvas, calibration, self.tiling)
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

    def _detect(self, arrays: list[Array]) -> Iterator[Detections]:
        limits = torch.tensor([self.thresholds[name] for name in self.classes.names])
        windows = [self.windows(array) for array in arrays]
        views = [(array, window) for array, rows in zip(arrays, windows, strict=True) for window in rows]
        at_once = len(arrays) if self.tiling is None else max(len(arrays), TILES_AT_ONCE)
        found = chain.from_iterable(self.look(group) for group in _batched(views, at_once))
        for array, rows in zip(arrays, windows, strict=True):
            boxes, scores, labels = self._merged([next(found) for _ in rows], rows, array)
            keep = scores > limits[labels]
            names = tuple(self.classes.names[label] for label in labels[keep].tolist())
            height, width = array.shape[:2]
            yield Detections(boxes[keep], scores[keep], labels[keep], names, height, width, array)

    def windows(self, array: Array) -> Tensor:
        """[T, 4] xyxy: what is looked at of a picture."""
        height, width = array.shape[:2]
        if self.tiling is None:
            return torch.tensor([[0, 0, width, height]])
        return self.tiling.windows(height, width)

    @torch.inference_mode()
    def look(self, views: list[tuple[Array, Tensor]]) -> list[Merged]:
        """Detections in each window, in its picture's pixels."""
        corners = [window.tolist() for _, window in views]
        parts = [array[y1:y2, x1:x2] for (array, _), (x1, y1, x2, y2) in zip(views, corners, strict=True)]
        placed = [place_picture(part, self.canvas) for part in parts]
        found = self.model(torch.stack([image for image, _ in placed]).to(self.device))
        seen = []
        for i, (_, letterbox) in enumerate(placed):
            n = int(found.count[i])
            boxes = undo_boxes(found.boxes[i, :n].cpu(), letterbox) + views[i][1][:2].repeat(2)
            seen.append(Merged(boxes, found.scores[i, :n].cpu(), found.labels[i, :n].cpu()))
        return seen

    def _merged(self, parts: list[Merged], windows: Tensor, array: Array) -> Merged:
        """Detections of one picture, from those in its windows."""
        if len(parts) == 1:
            return parts[0]
        tile = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part.scores) for part in parts]))
        boxes, scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        size, params = (array.shape[0], array.shape[1]), self.postprocessor
        found = TileDetections(boxes, scores, labels, tile)
        return merge_tiles(found, windows, size, params.nms_thresh, params.class_agnostic)

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
