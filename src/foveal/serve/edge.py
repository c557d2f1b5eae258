"""What holds for every request and answer: headers, deadlines, counting, and one line for whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foveal.serve.hosts import name_of
from foveal.serve.metrics import Metrics
from foveal.serve.refusal import RETRY_SECONDS
from foveal.serve.settings import Limits

LINGER_SECONDS = 0.5
"""How long the rest of a refused body is read and dropped: to a connection that is closed at once, many clients
say "broken pipe" and never show why."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NUMBER = "foveal.request"
"""Key of a request's number in its ASGI scope; its answer has it as ``X-Request-Id``."""
POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""Content security policy of what is no page."""


class Edge:
    """Outermost layer of the application."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        log: bool,
        known_host: Callable[[str], bool] = lambda host: True,
    ) -> None:
        self.metrics = metrics
        self._app = app
        self._limits = limits
        self._log = log
        self._known_host = known_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        has_body = not headers.keys().isdisjoint((b"content-length", b"transfer-encoding"))
        scope[NUMBER] = number = secrets.token_hex(4)
        exchange = _Exchange(receive, send, self._limits.body_seconds, has_body, number)
        started = time.perf_counter()
        try:
            host = headers.get(b"host", b"").decode("latin-1")
            if self._known_host(host):
                await self._app(scope, exchange.receive, exchange.send)
            else:
                self.metrics.refused("host")
                await exchange.fail(421, _unknown(host))
        except asyncio.CancelledError:
            self.metrics.refused("stopping")
            await exchange.fail(503, "the server stops")
        except _GoneError:
            pass
        except Exception as error:
            print(f"foveal: request {number} failed:", file=sys.stderr)
            traceback.print_exception(error, file=sys.stderr)
            await exchange.fail(500, bug_line(error, number))
        seconds = time.perf_counter() - started
        await exchange.finish()
        method = scope["method"] if scope["method"] in METHODS else "other"
        path = getattr(scope.get("route"), "path", "other")
        self.metrics.answered(method, path, exchange.status, seconds)
        if self._log:
            line = f"{number} {method} {path} {exchange.status} {seconds * 1000:.0f} ms"
            print(line, file=sys.stderr, flush=True)


def bug_line(error: Exception, number: str) -> str:
    """What the sender of a request is told of a bug, with what to look for in the server's output."""
    return f"a bug of Foveal's: {type(error).__name__}; the server's output has it whole, as request {number}"


def _unknown(host: str) -> str:
    name = name_of(host)[:100]
    return f"this server is not called {name!r}; if that name is right, start it with --allow-host {name}"


class _GoneError(Exception):
    """The client does not take its answer."""


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, seconds: float, unread: bool, number: str) -> None:
        self.status = 499
        """499 until an answer has begun: the client went before."""
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._unread = unread
        self._number = number.encode()
        self._last: Message | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            close = self._unread and self.status >= 400
            message["headers"] = _complete(message.get("headers", ()), self._number, close)
        elif self._unread and self.status >= 400 and not message.get("more_body", False):
            # The client can read its answer, but the connection stays open while we drop what still comes.
            self._last = {"type": "http.response.body", "body": b""}
            message = {**message, "more_body": True}
        await self._deliver(message)

    async def finish(self) -> None:
        """Drop the rest of a refused body for a moment, then end the answer."""
        if self._last is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while self._unread:
                    await self.receive()
        with contextlib.suppress(_GoneError):
            await self._deliver(self._last)

    async def fail(self, status: int, message: str) -> None:
        """Answer with an error, unless another answer has begun."""
        if self.status != 499:
            return
        body = json.dumps({"error": message}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 503:
            headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
        with contextlib.suppress(_GoneError):
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})

    async def _deliver(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise _GoneError from None


def _complete(
    headers: Sequence[tuple[bytes, bytes]], number: bytes, close: bool
) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    more = [
        *HEADERS,
        (b"content-security-policy", POLICY),
        (b"cache-control", b"no-store"),
        (b"x-request-id", number),
    ]
    if close:
        more.append((b"connection", b"close"))
    return [*headers, *((name, value) for name, value in more if name not in given)]
