"""The server itself: sockets, connections and their deadlines, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import http
import json
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from foveal.errors import UsageError
from foveal.serve.app import Application
from foveal.serve.metrics import Metrics
from foveal.serve.refusal import RETRY_SECONDS
from foveal.serve.settings import Address, Limits

KEEP_ALIVE_SECONDS = 15
"""A connection without a request is closed after so long."""
OTHER_FILES = 100
"""Files that the process needs besides connections."""


def bind(address: Address) -> socket.socket:
    """A socket that listens later. UsageError, with what to do, where it cannot."""
    listener = None
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen on {address.host} port {address.port}: {reason}; take another --port or --host"
        ) from error
    return listener


def url(listener: socket.socket) -> str:
    """Where a browser finds it, on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def run(app: Application, listener: socket.socket, limits: Limits, started: Callable[[], object]) -> int:
    """Serve until a signal comes -> its number. started: called once requests are answered."""
    connection = type("Connection", (Connection,), {"limits": limits, "metrics": app.metrics})
    config = uvicorn.Config(
        app, http=connection, loop="asyncio", lifespan="on", ws="none", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=int(limits.stop_seconds),
    )  # fmt: skip
    # Warnings of requests that are no HTTP are for their senders.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = Server(config, started)
    try:
        server.run(sockets=[listener])
    except SystemExit:  # uvicorn's answer to an application that does not start
        raise app.failure or RuntimeError("the server does not start") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Two that start at once can both bind it; only one can listen.
        raise UsageError(f"another server took {url(listener)} meanwhile; take another --port") from error
    return server.stopped_by


class Server(uvicorn.Server):
    """One that remembers which signal stopped it, and leaves the process to whoever started it."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self.stopped_by = 0
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Also says that it is up."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal begins the end; a second Ctrl-C waits for nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.stopped_by = self.stopped_by or number
        self.should_exit = True


class Connection(H11Protocol):
    """A connection whose first request must come in time, and that counts against a limit."""

    limits = Limits()
    metrics: Metrics | None = None
    """Both set by ``run``: uvicorn takes a class, and makes the objects."""
    _head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request's head, or refuse the connection."""
        super().connection_made(transport)
        # A client that does not take what it is sent would keep a closed connection for ever.
        patience = getattr(socket, "TCP_USER_TIMEOUT", None)
        if patience is not None:
            link = transport.get_extra_info("socket")
            link.setsockopt(socket.IPPROTO_TCP, patience, int(1000 * self.limits.body_seconds))
        if len(self.connections) > most_connections(self.limits):
            self._refuse(503, "too many connections; try again in 1 s", "connections")
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """A head that trickles in does not begin its time anew."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_came()
        elif self._head_deadline is None and self._between_requests():
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Between requests, uvicorn's own time for idle connections holds, until the next head begins."""
        super().on_response_complete()
        self._head_came()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any longer."""
        self._head_came()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """As every other error: one line of JSON, with what the parser found."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        self._refuse(status, f"this is no HTTP request that can be taken: {error}"[:300], "request")

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head_deadline = self.loop.call_later(self.limits.body_seconds, self._late)

    def _head_came(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _late(self) -> None:
        self._head_deadline = None
        if self._between_requests() and not self.transport.is_closing():
            self._refuse(408, f"the request did not come in {self.limits.body_seconds:g} s", "slow")

    def _refuse(self, status: int, message: str, reason: str) -> None:
        """Answer outside of the application, and close."""
        if self.metrics is not None:
            self.metrics.refused(reason)
        body = json.dumps({"error": message}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if status == 503:
            headers.append(("retry-after", str(RETRY_SECONDS)))
        try:
            words = http.HTTPStatus(status).phrase.encode()
            begin = h11.Response(status_code=status, headers=headers, reason=words)
            for event in (begin, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer had begun
            pass
        self.transport.close()


def most_connections(limits: Limits) -> int:
    """What the settings allow, and the process's limit on open files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limits.connections if files < 0 else max(10, min(limits.connections, files - OTHER_FILES))
