"""One decoding process as the server sees it: tasks in, pixels out, over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveal.serve import frames
from foveal.serve.refusal import Refusal


class DecoderDiedError(Exception):
    """A decoding process ended while it worked."""


class Decoder:
    """One decoding process, and the socket to it."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.began = 0.0
        """When it was given what it works at, by ``time.monotonic``."""
        self._reader = reader
        self._writer = writer

    @property
    def alive(self) -> bool:
        """Whether its end of the socket is open, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def ask(self, header: dict[str, Any], content: bytes) -> dict[str, Any]:
        """Give it a task -> its first answer. Refusal, where that is one."""
        try:
            self._writer.write(frames.pack(header, content))
            self._writer.write(content)
            await self._writer.drain()
        except OSError as error:
            raise DecoderDiedError from error
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next answer's header; what follows it is read by ``pixels``."""
        self.began = time.monotonic()
        (length,) = frames.LENGTH.unpack(await self._read(frames.LENGTH.size))
        header: dict[str, Any] = json.loads(await self._read(length))
        if "status" in header:
            raise Refusal(header["status"], header["error"])
        return header

    async def pixels(self, count: int) -> Tensor:
        """[count] uint8."""
        return torch.from_numpy(np.frombuffer(bytearray(await self._read(count)), dtype=np.uint8))

    async def canvases(self, count: int, canvas: tuple[int, int]) -> Tensor:
        """[count, 3, H, W] uint8, as ``place_picture`` gives them."""
        images = []
        for _ in range(count):
            header = await self.answer()
            pixels = await self.pixels(header[frames.BYTES])
            images.append(pixels.reshape(*canvas, 3).permute(2, 0, 1))
        return torch.stack(images)

    def end(self) -> None:
        """Kill it, whatever it does."""
        # One that has closed its socket is gone, and its number may be another's.
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._writer.close()

    async def _read(self, count: int) -> bytes:
        try:
            return await self._reader.readexactly(count)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise DecoderDiedError from error
