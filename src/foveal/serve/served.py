"""A model at work in a server: bytes in, detections out, through decoding processes and shared passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveal.ops.merge_tiles import Merged
from foveal.runtime.detections import Detections
from foveal.runtime.predictor import Predictor
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
        self._at_work = 0
        self.batcher = MicroBatcher(
            self._run,
            limits.batch,
            limits.wait_ms / 1000,
            metrics.passed,
            # Whoever has a place and does not wait for the network yet will come to it.
            lambda: self._at_work > self.batcher.callers,
        )
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
        async with self._place():
            size, windows, found = await self._look(upload)
        return self.predictor.conclude(found, windows, size, everything=everything)

    async def infer(self, body: bytes, json_bytes: int | None) -> TensorAnswer:
        """A request of the v2 protocol: detections on the canvas. Refusal."""
        async with self._place():
            async with self.pool.lend() as decoder:
                asked = await decoder.ask({"kind": "tensor", "json_bytes": json_bytes}, body)
                pixels = await decoder.pixels(asked["bytes"])
            return TensorAnswer(asked, await self.batcher.detect(pixels.reshape(asked["shape"])))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        async with self._places:
            self._at_work += 1
            try:
                yield
            finally:
                self._at_work -= 1

    async def _look(self, upload: Upload) -> tuple[tuple[int, int], Tensor, list[Merged]]:
        """Size of a picture, [T, 4] the windows that were looked at, and the detections in each."""
        canvas = self.predictor.canvas
        found: list[Merged] = []
        async with self.pool.lend() as decoder:
            head = await decoder.ask({"kind": "picture", "name": upload.name}, upload.content)
            windows = torch.tensor(head["windows"])
            groups = torch.split(windows, self.predictor.tiles_at_once)
            for group in groups[:-1]:
                images = await decoder.canvases(len(group), canvas)
                found += self.predictor.undo(await self.batcher.detect(images), group)
            images = await decoder.canvases(len(groups[-1]), canvas)
        # The decoder is free for others while the last of this picture's pixels go through the network.
        found += self.predictor.undo(await self.batcher.detect(images), groups[-1])
        return (head["height"], head["width"]), windows, found

    def _run(self, images: Tensor) -> BatchDetections:
        """One pass, in the batcher's thread."""
        with torch.inference_mode():
            found = self.predictor.model(images.to(self.predictor.device))
            return BatchDetections(*(column.cpu() for column in found))
