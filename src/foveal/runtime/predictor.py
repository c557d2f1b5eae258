"""A checkpoint ready to use: pictures in, detections in the pictures' own pixels out."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from PIL import Image
from torch import Tensor

from foveal.checkpoint.header import CheckpointHeader
from foveal.data.decode import MAX_PIXELS, PictureSize
from foveal.errors import DataError, UsageError
from foveal.ops.letterbox import fit_letterbox, undo_boxes
from foveal.ops.merge_tiles import Merged, TileDetections, merge_tiles
from foveal.runtime.calibration import calibration_images
from foveal.runtime.detections import Detections
from foveal.runtime.model_file import open_model
from foveal.runtime.pictures import Picture, cut_out, load_image, load_picture, place_picture
from foveal.runtime.read_ahead import Loaded, Reserve, Stop, read_groups
from foveal.runtime.tiling import TileSize, choose_tiling
from foveal.types import Array, BatchDetections, Letterbox

P = TypeVar("P", bound=Picture)

TILES_AT_ONCE = 4
"""Tiles of a picture that go through the network together: however large it is, memory is that of so many ..."""
PIXELS_AT_ONCE = 200_000
"""... and on a processor of fewer, where their canvases have more pixels than this in all."""
DEFAULT_THRESHOLD = 0.3
"""Score from which a detection is shown where the checkpoint stores no threshold for its class."""


class _Prepared(NamedTuple):
    """A picture that was read, ready for the network."""

    pixels: Array | Image.Image
    """Where it is looked at in tiles, as Pillow has it: an array of a large picture would be a second copy."""
    windows: Tensor
    """[T, 4] xyxy: what is looked at."""
    placed: tuple[Tensor, Letterbox] | None
    """On the canvas, where it is seen whole."""


class Predictor:
    """``Predictor("best.safetensors")("cat.jpg")`` -> ``Detections``.

    model: a checkpoint, or an ONNX or OpenVINO file exported from one. device: auto, cpu, cuda, cuda:1, mps.
    score_thresh: one threshold for all classes, or one per class name; None takes those stored in the file.
    tiles: large pictures are detected on in tiles of this size, in their own pixels, and the tiles' detections are
    merged: a side, (height, width), or "none"; None takes the tiles that the model was trained with. overlap:
    share of a tile that its neighbour shows, too; None takes the file's, or 0.2.
    backend, precision: torch runs fp32 and bf16; openvino fp32, bf16 and int8; onnxruntime fp32; the last two on
    the CPU. auto: torch for a checkpoint, for an exported file the program that it was written for.
    calibration: for int8, pictures like those to come; None takes the training set's own.
    max_pixels: of a picture that is read from a file or an address; a larger one is a DataError.
    A predictor works for one thread at a time.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "auto",
        score_thresh: float | Mapping[str, float] | None = None,
        backend: str = "auto",
        precision: str = "fp32",
        calibration: Sequence[Picture] | None = None,
        tiles: TileSize | None = None,
        overlap: float | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.max_pixels = max_pixels
        file = open_model(model, backend, precision, device)
        self.header = file.header
        self.tiling = choose_tiling(self.header, tiles, overlap)
        self.postprocessor = file.settings.postprocessor.params
        self.classes = self.header.classes
        self.canvas = file.canvas
        self.device = file.device
        self.backend, self.precision = file.backend, file.precision
        self.model = file.start(calibration_images(self.header, self.canvas, calibration, self.tiling))
        self.thresholds = choose_thresholds(self.header, score_thresh)
        self.tiles_at_once = TILES_AT_ONCE
        if self.device.type == "cpu":
            height, width = self.canvas
            self.tiles_at_once = max(1, min(TILES_AT_ONCE, PIXELS_AT_ONCE // (height * width)))
        _give_back_memory()

    def __call__(self, picture: Picture) -> Detections:
        """Detections of one picture, best first. DataError where it cannot be read."""
        (found,) = self.stream([picture])
        return found

    def stream(
        self, pictures: Iterable[Picture], batch_size: int = 1, workers: int = 0
    ) -> Iterator[Detections]:
        """Detections of many pictures, in order, ``batch_size`` at a time through the network.

        workers: threads that decode ahead while the network works; with them, up to two batches more are taken
        from ``pictures`` than were given out. DataError at a picture that cannot be read, and the end.
        """
        for loaded in self.outcomes(pictures, batch_size, workers):
            if isinstance(loaded.result, DataError):
                raise loaded.result
            yield loaded.result
            del loaded

    def outcomes(
        self,
        pictures: Iterable[P],
        batch_size: int = 1,
        workers: int = 0,
        stopped: Stop | None = None,
    ) -> Iterator[Loaded[P, Detections]]:
        """As ``stream``, but each picture with its detections, or with the DataError that it gave.

        stopped: asked between the steps of the work; once true, nothing more comes.
        """
        for group in read_groups(pictures, self._prepare, batch_size, workers, stopped):
            yield from self._found(group, stopped)
            # Nothing here may hold a picture while the next one is decoded: large ones would be there twice.
            del group

    def _found(
        self, group: list[Loaded[P, _Prepared]], stopped: Stop | None
    ) -> Iterator[Loaded[P, Detections]]:
        """The outcomes of pictures that were read together; fewer where it was stopped."""
        ready = [loaded.result for loaded in group if not isinstance(loaded.result, DataError)]
        found = self._detect(ready, stopped)
        for item, result in group:
            if isinstance(result, DataError):
                yield Loaded(item, result)
                continue
            detections = next(found, None)
            if detections is None:
                return
            yield Loaded(item, detections)

    def _prepare(self, picture: Picture, reserve: Reserve) -> _Prepared:
        """What can be done without the network, in any thread."""

        def take(size: PictureSize) -> None:
            reserve(4 * size.height * size.width)  # as Pillow holds it

        if self.tiling is None:
            array = load_picture(picture, self.max_pixels, take)
            return _Prepared(array, self.windows(array), place_picture(array, self.canvas))
        # Tiles are placed as they are looked at: all of a large picture's would be more than the picture.
        if isinstance(picture, str | Path | bytes):
            image = load_image(picture, self.max_pixels, take)
            return _Prepared(image, self.tiling.windows(image.height, image.width), None)
        array = load_picture(picture)
        return _Prepared(array, self.windows(array), None)

    def _detect(self, group: list[_Prepared], stopped: Stop | None) -> Iterator[Detections]:
        """Detections of each; fewer where it was stopped."""
        at_once = len(group) if self.tiling is None else max(len(group), self.tiles_at_once)
        found = self._seen(group, at_once, stopped)
        for pixels, windows, _ in group:
            parts = list(islice(found, len(windows)))
            if len(parts) < len(windows):
                return
            yield self.conclude(parts, windows, _size(pixels), pixels)

    def _seen(self, group: list[_Prepared], at_once: int, stopped: Stop | None) -> Iterator[Merged]:
        """Detections in each window of each picture."""
        views = ((picture, window) for picture in group for window in picture.windows)
        while chosen := list(islice(views, at_once)):
            if stopped is not None and stopped():
                return
            placed = [
                picture.placed or place_picture(cut_out(picture.pixels, window), self.canvas)
                for picture, window in chosen
            ]
            yield from self._look(placed, [window for _, window in chosen])

    def windows(self, array: Array) -> Tensor:
        """[T, 4] xyxy: what is looked at of a picture."""
        height, width = array.shape[:2]
        if self.tiling is None:
            return torch.tensor([[0, 0, width, height]])
        return self.tiling.windows(height, width)

    def look(self, views: list[tuple[Array, Tensor]]) -> list[Merged]:
        """Detections in each window, in its picture's pixels."""
        placed = [place_picture(cut_out(array, window), self.canvas) for array, window in views]
        return self._look(placed, [window for _, window in views])

    @torch.inference_mode()
    def _look(self, placed: list[tuple[Tensor, Letterbox]], windows: list[Tensor]) -> list[Merged]:
        found = self.model(torch.stack([image for image, _ in placed]).to(self.device))
        return self.undo(found, windows)

    def undo(self, found: BatchDetections, windows: Iterable[Tensor]) -> list[Merged]:
        """Detections on canvases, in the pixels of the pictures whose windows [4] were placed on them."""
        seen = []
        for i, window in enumerate(windows):
            x1, y1, x2, y2 = window.tolist()
            letterbox = fit_letterbox(y2 - y1, x2 - x1, self.canvas)
            n = int(found.count[i])
            boxes = undo_boxes(found.boxes[i, :n].cpu(), letterbox) + window[:2].repeat(2)
            seen.append(Merged(boxes, found.scores[i, :n].cpu(), found.labels[i, :n].cpu()))
        return seen

    def conclude(
        self,
        parts: list[Merged],
        windows: Tensor,
        size: tuple[int, int],
        picture: Array | Image.Image | None = None,
        everything: bool = False,
    ) -> Detections:
        """Detections of one picture, from those in its windows: merged, and over the thresholds.

        everything: not over the thresholds, but over the model's own score_thresh alone.
        """
        boxes, scores, labels = self._merged(parts, windows, size)
        names = self.classes.names
        limits = torch.tensor([0.0 if everything else self.thresholds[name] for name in names])
        keep = scores > limits[labels]
        kept = tuple(names[label] for label in labels[keep].tolist())
        return Detections(boxes[keep], scores[keep], labels[keep], kept, *size, picture)

    def _merged(self, parts: list[Merged], windows: Tensor, size: tuple[int, int]) -> Merged:
        """Detections of one picture, from those in its windows."""
        if len(parts) == 1:
            return parts[0]
        tile = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part.scores) for part in parts]))
        boxes, scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        params = self.postprocessor
        found = TileDetections(boxes, scores, labels, tile)
        return merge_tiles(found, windows, size, params.nms_thresh, params.class_agnostic)


def choose_thresholds(
    header: CheckpointHeader, given: float | Mapping[str, float] | None = None
) -> dict[str, float]:
    """Threshold by class name: what is given, then what the file stores. UsageError for an unknown class."""
    names, stored = header.classes.names, header.thresholds
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise UsageError(f"threshold for {unknown[0]!r}: the model knows {', '.join(names)}")
        return {name: given.get(name, stored.get(name, DEFAULT_THRESHOLD)) for name in names}
    if given is not None:
        return dict.fromkeys(names, given)
    return {name: stored.get(name, DEFAULT_THRESHOLD) for name in names}


def _give_back_memory() -> None:
    """What loading a model took and freed goes back to the system: glibc keeps a good part of it for itself."""
    with suppress(AttributeError, OSError, TypeError):  # other systems have no such call
        ctypes.CDLL(None).malloc_trim(0)


def _size(pixels: Array | Image.Image) -> tuple[int, int]:
    if isinstance(pixels, Image.Image):
        return pixels.height, pixels.width
    return pixels.shape[0], pixels.shape[1]
