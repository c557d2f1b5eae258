"""Who may come in: pictures in work and bytes held are counted, and what is too much is refused at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foveal.serve.refusal import Refusal, busy
from foveal.serve.settings import Limits


class Gate:
    """Counts over all requests. Pictures count once their body is there, so that slow clients take no place."""

    def __init__(self, limits: Limits) -> None:
        self.pictures = 0
        self.bytes = 0
        self.coming: set[Body] = set()
        """Bodies whose end has not come."""
        self._limits = limits

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """While so many pictures are in work. 503 where the queue is full, 413 where it could never hold them."""
        if pictures > self._limits.queue:
            raise Refusal(413, f"{pictures} pictures in a request; this server takes {self._limits.queue}")
        if self.pictures + pictures > self._limits.queue:
            raise busy(
                f"the queue is full: {self.pictures} pictures wait, of {self._limits.queue} at most", "queue"
            )
        self.pictures += pictures
        try:
            yield
        finally:
            self.pictures -= pictures

    @contextmanager
    def body(self) -> Iterator[Body]:
        """While one request's body, or what was made of it, is held."""
        body = Body(self, self._limits)
        self.coming.add(body)
        try:
            yield body
        finally:
            self.coming.discard(body)
            self.bytes -= body.size


class Body:
    """How much of one request's body has come."""

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self.size = 0
        self.wake: Callable[[], object] = lambda: None
        """Called where it must give way, while its next bytes are waited for."""
        self._began = time.monotonic()
        self._gives_way = False
        self._gate = gate
        self._limits = limits

    def announce(self, size: int) -> None:
        """413 where a request says that it is too large."""
        if size > self._limits.body_bytes:
            raise Refusal(413, f"the body has {size:,} bytes; this server takes {self._limits.body_bytes:,}")

    def add(self, size: int) -> None:
        """Count what came. 413 where it is too much for one request, 503 where it must give way.

        Where all bodies together are too much, one goes whose end has not come: the one that has taken the most
        room for the longest. Clients that hold large bodies back so keep nobody out.
        """
        self.check()
        self.size += size
        self._gate.bytes += size
        if self.size > self._limits.body_bytes:
            raise Refusal(413, f"the body has over {self._limits.body_bytes:,} bytes, this server's limit")
        now = time.monotonic()
        while self._gate.bytes > self._limits.buffered_bytes and self._gate.coming:
            max(self._gate.coming, key=lambda body: body.size * (now - body._began)).give_way()
        self.check()

    def end(self) -> None:
        """Nothing more comes."""
        self._gate.coming.discard(self)

    def give_way(self) -> None:
        """Leave the room to others; what has come is dropped by whoever waits for the rest."""
        self.end()
        self._gives_way = True
        self._gate.bytes -= self.size
        self.size = 0
        self.wake()

    def check(self) -> None:
        """503 where it must give way."""
        if self._gives_way:
            raise busy("the server holds as many bytes of requests as it may", "bytes")
