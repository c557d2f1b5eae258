"""A model at work in a server: bytes in, detections out, through decoding processes and shared passes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveal.ops.letterbox import fit_letterbox, undo_boxes
from foveal.ops.merge_tiles import Merged, TileDetections, merge_tiles
from foveal.runtime.detections import Detections
from foveal.runtime.predictor import TILES_AT_ONCE, Predictor
from foveal.serve.batching import MicroBatcher
from foveal.serve.bodies import Upload
from foveal.serve.decoders import DecoderPool
from foveal.serve.metrics import Metrics
from foveal.serve.refusal import Refusal
from foveal.serve.settings import DecodingRules, Limits
from foveal.types import BatchDetections

SMALLEST_TENSOR_LIMIT = 4_000_000
"""B x H x W that a tensor may have on any server: four pictures of a million pixels."""


class TensorAnswer(NamedTuple):
    """What came of a request with a tensor."""

    asked: dict[str, Any]
    """As ``read_tensor`` gives it."""
    found: BatchDetections


class ServedModel:
    """``await served.detect(upload)`` -> ``Detections``, as ``Predictor`` gives them for the same bytes."""

    def __init__(self, predictor: Predictor, limits: Limits, metrics: Metrics) -> None:
        self.predictor = predictor
        self.ready = False
        self._limits = limits
        canvas = predictor.canvas
        tensor_pixels = max(limits.batch * canvas[0] * canvas[1], SMALLEST_TENSOR_LIMIT)
        rules = DecodingRules(
            canvas, predictor.tiling, limits.max_pixels, limits.decode_seconds, tensor_pixels
        )
        self.pool = DecoderPool(limits.decoders, rules, metrics.decoder_died)
        self.batcher = MicroBatcher(self._run, limits.batch, limits.wait_ms / 1000, metrics.passed)
        # Decoded pictures wait for the network here, not in memory: so many are enough to keep it busy.
        self._places = asyncio.Semaphore(2 * limits.batch)

    async def start(self) -> None:
        """Decoders, and a first pass, so that the first request does not wait for what is loaded late."""
        await self.pool.start()
        self.batcher.start()
        await self.batcher.detect(torch.zeros(1, 3, *self.predictor.canvas, dtype=torch.uint8))
        self.ready = True

    async def stop(self) -> None:
        """End decoders and passes."""
        self.ready = False
        await self.batcher.stop()
        await self.pool.stop()

    async def detect(self, upload: Upload, everything: bool) -> Detections:
        """Detections over the thresholds, or over the model's own score_thresh alone. Refusal."""
        if not upload.content:
            raise Refusal(400, f"{upload.name}: the file is empty")
        async with self._places:
            size, windows, found = await self._look(upload)
        boxes, scores, labels = self._merged(found, windows, size)
        classes = self.predictor.classes.names
        limits = torch.tensor([self.predictor.thresholds[name] for name in classes])
        keep = scores > (0.0 if everything else limits[labels])
        names = tuple(classes[label] for label in labels[keep].tolist())
        return Detections(boxes[keep], scores[keep], labels[keep], names, *size)

    async def infer(self, body: bytes, json_bytes: int | None) -> TensorAnswer:
        """A request of the v2 protocol: detections on the canvas. Refusal."""
        async with self._places:
            async with self.pool.lend() as decoder:
                asked = await decoder.ask({"kind": "tensor", "json_bytes": json_bytes}, body)
                pixels = await decoder.pixels(asked["bytes"])
            return TensorAnswer(asked, await self.batcher.detect(pixels.reshape(asked["shape"])))

    async def _look(self, upload: Upload) -> tuple[tuple[int, int], Tensor, list[Merged]]:
        """Size of a picture, [T, 4] the windows that were looked at, and the detections in each."""
        canvas = self.predictor.canvas
        found: list[Merged] = []
        async with self.pool.lend() as decoder:
            head = await decoder.ask({"kind": "picture", "name": upload.name}, upload.content)
            windows = torch.tensor(head["windows"])
            groups = torch.split(windows, TILES_AT_ONCE)
            for group in groups[:-1]:
                found += self._undone(
                    await self.batcher.detect(await decoder.canvases(len(group), canvas)), group
                )
            images = await decoder.canvases(len(groups[-1]), canvas)
        # The decoder is free for others while the last of this picture's pixels go through the network.
        found += self._undone(await self.batcher.detect(images), groups[-1])
        return (head["height"], head["width"]), windows, found

    def _undone(self, found: BatchDetections, windows: Tensor) -> list[Merged]:
        """Detections in windows, in their picture's pixels."""
        rows = []
        for i, (x1, y1, x2, y2) in enumerate(windows.tolist()):
            n = int(found.count[i])
            letterbox = fit_letterbox(y2 - y1, x2 - x1, self.predictor.canvas)
            boxes = undo_boxes(found.boxes[i, :n], letterbox) + windows[i][:2].repeat(2)
            rows.append(Merged(boxes, found.scores[i, :n], found.labels[i, :n]))
        return rows

    def _merged(self, parts: Sequence[Merged], windows: Tensor, size: tuple[int, int]) -> Merged:
        if len(parts) == 1:
            return parts[0]
        tile = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part.scores) for part in parts]))
        boxes, scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        params = self.predictor.postprocessor
        found = TileDetections(boxes, scores, labels, tile)
        return merge_tiles(found, windows, size, params.nms_thresh, params.class_agnostic)

    def _run(self, images: Tensor) -> BatchDetections:
        """One pass, in the batcher's thread."""
        with torch.inference_mode():
            found = self.predictor.model(images.to(self.predictor.device))
            return BatchDetections(*(column.cpu() for column in found))
