"""The server's side of the decoding processes: lends them out, and puts another in the place of one that died."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from typing import Any

from foveal.serve.decoder import Decoder, DecoderDiedError
from foveal.serve.refusal import Refusal, busy
from foveal.serve.settings import DecodingRules

START_SECONDS = 300.0
"""For the first process to load what it needs: seconds, but minutes where the machine is busy."""
STOP_SECONDS = 1.0
"""For the processes to end by themselves."""
TEND_SECONDS = 0.5
"""How often idle processes are looked after."""
STREAM_BYTES = 1 << 20
"""What is read ahead from a process."""


class DecoderPool:
    """So many decoding processes. died: called for every one that ends while it is needed."""

    def __init__(self, count: int, rules: DecodingRules, died: Callable[[], object] = lambda: None) -> None:
        self.count = count
        self._rules = rules
        self._died = died
        self._idle: asyncio.Queue[Decoder] = asyncio.Queue()
        self._all: set[Decoder] = set()
        self._parent: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def start(self) -> None:
        """Start them all. RuntimeError where the first cannot start."""
        for _ in range(self.count):
            self._idle.put_nowait(await self._new())
        self._keep(self._tend())

    @property
    def alive(self) -> int:
        """How many could take a picture."""
        return sum(decoder.alive for decoder in self._all)

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Decoder]:
        """One of them, for a task that is read to its end or refused.

        Refusal 503 where it dies, 422 where it ended itself, as the task took too long.
        """
        decoder = await self._take()
        finished = False
        try:
            yield decoder
            finished = True
        except Refusal:
            finished = True
            raise
        except DecoderDiedError:
            if time.monotonic() - decoder.began >= self._rules.seconds:
                raise Refusal(422, f"it takes more than {self._rules.seconds:g} s to decode") from None
            raise busy(
                "the process that decoded this picture ended: stopped, or by the picture itself", "decoder"
            ) from None
        finally:
            if finished and decoder.alive:
                self._idle.put_nowait(decoder)
            else:
                self._replace(decoder)

    async def stop(self) -> None:
        """End them all."""
        # A request that is given up now must not have another process started in the place of its own.
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        for decoder in self._all:
            decoder.end()
        self._all.clear()
        if self._control is not None and self._parent is not None:
            self._control.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._parent.wait, STOP_SECONDS)
        self._drop_parent()

    async def _take(self) -> Decoder:
        while True:
            decoder = await self._idle.get()
            if decoder.alive:
                return decoder
            self._replace(decoder)

    def _replace(self, decoder: Decoder) -> None:
        self._all.discard(decoder)
        decoder.end()
        if not self._stopped:
            self._died()
            self._keep(self._add())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tend(self) -> None:
        """Replace those that die while nobody asks: a server without any is not ready, and would not be asked."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            for _ in range(self._idle.qsize()):
                decoder = self._idle.get_nowait()
                if decoder.alive:
                    self._idle.put_nowait(decoder)
                else:
                    self._replace(decoder)

    async def _add(self) -> None:
        while True:
            try:
                self._idle.put_nowait(await self._new())
                return
            except (RuntimeError, OSError) as error:
                print(f"foveal: a decoding process does not start ({error}); trying again", file=sys.stderr)
                await asyncio.sleep(1)

    async def _new(self) -> Decoder:
        async with self._lock:
            ours, theirs = socket.socketpair()
            try:
                try:
                    socket.send_fds(self._control_socket(), [b"f"], [theirs.fileno()])
                except OSError:  # its parent was killed
                    self._drop_parent()
                    socket.send_fds(self._control_socket(), [b"f"], [theirs.fileno()])
            finally:
                theirs.close()
            reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_BYTES)
            decoder = Decoder(0, reader, writer)
            try:
                async with asyncio.timeout(START_SECONDS):
                    decoder.pid = (await decoder.answer())["pid"]
            except (DecoderDiedError, TimeoutError):
                writer.close()
                self._drop_parent()
                raise RuntimeError(f"no answer from {sys.executable} -m foveal.serve.decoding") from None
            self._all.add(decoder)
            return decoder

    def _control_socket(self) -> socket.socket:
        """The socket to the process that forks decoders; it is started where there is none."""
        if self._control is None:
            ours, theirs = socket.socketpair()
            rules = json.dumps(asdict(self._rules))
            # One thread each: their number is chosen, and a fork must not happen beside other threads.
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "foveal.serve.decoding", str(theirs.fileno()), rules],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal goes to a whole group: it is for the server, which ends the others.
                process_group=0,
                env={**os.environ, **threads},
            )
            theirs.close()
            self._control = ours
        return self._control

    def _drop_parent(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._parent is not None:
            self._parent.kill()
            self._parent.wait()
            self._parent = None
