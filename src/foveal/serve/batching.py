"""Pictures of many requests, together through the network: as they come, in batches, in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.serve.refusal import Refusal
from foveal.types import BatchDetections

Observe = Callable[[int, float], object]
"""Called after every pass with its pictures and seconds."""


class _Job(NamedTuple):
    images: Tensor
    """[b, 3, H, W] uint8, b at most the batch."""
    answer: asyncio.Future[BatchDetections]


class MicroBatcher:
    """Collects pictures of the same size into passes of at most ``batch``.

    run: [B, 3, H, W] uint8 -> detections; called in a thread of its own, one pass at a time. wait: seconds that
    the first picture waits for others while there is room. coming: whether others are on their way; where none
    is, nobody waits. How much may wait is bounded by who calls (``Gate``).
    """

    def __init__(
        self,
        run: Callable[[Tensor], BatchDetections],
        batch: int,
        wait: float,
        observe: Observe = lambda pictures, seconds: None,
        coming: Callable[[], bool] = lambda: True,
    ) -> None:
        self.batch = batch
        self.busy = False
        self.callers = 0
        """Who wait in ``detect``."""
        self._run = run
        self._wait = wait
        self._coming = coming
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._came = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; in a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Stop once the pass at hand is done, if it is soon: its thread cannot be stopped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Pictures that wait for a pass."""
        return sum(len(job.images) for job in self._jobs if not job.answer.done())

    async def detect(self, images: Tensor) -> BatchDetections:
        """Detections of [B, 3, H, W], in passes shared with others. Who stops waiting takes its pictures along."""
        loop = asyncio.get_running_loop()
        jobs = [_Job(part, loop.create_future()) for part in torch.split(images, self.batch)]
        self._jobs.extend(jobs)
        self._came.set()
        self.callers += 1
        try:
            parts = [await job.answer for job in jobs]
        finally:
            self.callers -= 1
            for job in jobs:
                job.answer.cancel()
        return join(parts)

    async def _work(self) -> None:
        while True:
            jobs = await self._next()
            if jobs:
                await self._answer(jobs)

    async def _answer(self, jobs: list[_Job]) -> None:
        """One pass for all; where it fails, one for each: what breaks one picture must not cost the others."""
        try:
            found = await self._pass(torch.cat([job.images for job in jobs]))
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            if len(jobs) > 1:
                for job in jobs:
                    if not job.answer.done():
                        await self._answer([job])
            elif not jobs[0].answer.done():
                line = f"the model failed on it: {type(error).__name__}: {error}".splitlines()[0]
                jobs[0].answer.set_exception(Refusal(500, line))
            return
        rows = [len(job.images) for job in jobs]
        parts = zip(*(torch.split(column, rows) for column in found), strict=True)
        for job, part in zip(jobs, parts, strict=True):
            if not job.answer.done():
                job.answer.set_result(BatchDetections(*part))

    async def _pass(self, images: Tensor) -> BatchDetections:
        started = time.perf_counter()
        self.busy = True
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, images)
        finally:
            self.busy = False
        self._observe(len(images), time.perf_counter() - started)
        return found

    async def _next(self) -> list[_Job]:
        """The jobs of the next pass; none where all were given up meanwhile."""
        while not self._jobs:
            await self._arrival()
        end = time.perf_counter() + self._wait
        while self.waiting < self.batch and self._coming():
            left = end - time.perf_counter()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrival()
        return self._chosen()

    async def _arrival(self) -> None:
        self._came.clear()
        await self._came.wait()

    def _chosen(self) -> list[_Job]:
        """The oldest job and those behind it that fit into its pass; the others stay, in order."""
        waiting = [job for job in self._jobs if not job.answer.done()]
        self._jobs.clear()
        chosen: list[_Job] = []
        room = self.batch
        for job in waiting:
            if len(job.images) <= room and (not chosen or job.images.shape[1:] == chosen[0].images.shape[1:]):
                chosen.append(job)
                room -= len(job.images)
            else:
                self._jobs.append(job)
        return chosen


def join(parts: list[BatchDetections]) -> BatchDetections:
    """Detections of several batches as of one; short rows are filled with empty places."""
    if len(parts) == 1:
        return parts[0]
    places = max(part.scores.shape[1] for part in parts)

    def filled(column: Tensor) -> Tensor:
        if column.dim() == 1 or column.shape[1] == places:
            return column
        empty = column.new_zeros((len(column), places - column.shape[1], *column.shape[2:]))
        return torch.cat([column, empty], dim=1)

    return BatchDetections(*(torch.cat([filled(c) for c in column]) for column in zip(*parts, strict=True)))
