"""Who may come in: pictures in work and bytes held are counted, and what is too much is refused at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foveal.serve.refusal import Refusal, busy
from foveal.serve.settings import Limits


class Gate:
    """Counts over all requests. Pictures count once their body is there, so that slow clients take no place."""

    def __init__(self, limits: Limits) -> None:
        self.pictures = 0
        self.bytes = 0
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
        try:
            yield body
        finally:
            self.bytes -= body.size


class Body:
    """How much of one request's body has come."""

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self.size = 0
        self._gate = gate
        self._limits = limits

    def announce(self, size: int) -> None:
        """413 where a request says that it is too large."""
        if size > self._limits.body_bytes:
            raise Refusal(413, f"the body has {size:,} bytes; this server takes {self._limits.body_bytes:,}")

    def add(self, size: int) -> None:
        """Count what came. 413 where it is too much for one request, 503 for all of them together."""
        self.size += size
        self._gate.bytes += size
        if self.size > self._limits.body_bytes:
            raise Refusal(413, f"the body has over {self._limits.body_bytes:,} bytes, this server's limit")
        if self._gate.bytes > self._limits.buffered_bytes:
            raise busy("the server holds as many bytes of requests as it may", "bytes")
