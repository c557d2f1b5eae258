"""S2, S3: bodies that are too large, and clients that are too slow."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from attacks.client import Answer, ask, post, read_answer
from attacks.server import MEGABYTE, Server, growth

LARGE = 15 * MEGABYTE
"""Of a body that is allowed, and whose end does not come."""


async def announced(server: Server, size: int = 200 * MEGABYTE) -> Answer:
    """A body that says its size, sent until it is answered."""
    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return await _push(server, head.encode(), b"\0" * 65536)


async def endless(server: Server) -> Answer:
    """A body in chunks without an end."""
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return await _push(server, head, b"10000\r\n" + b"\0" * 65536 + b"\r\n")


async def huge_bodies(server: Server) -> dict[str, Any]:
    """S2: both."""
    figures: dict[str, Any] = {}
    for name, send in (("announced", announced), ("endless", endless)):
        with growth(server) as grown:
            answer = await send(server)
        figures[name] = {
            "status": answer.status,
            "seconds": round(answer.seconds, 2),
            "growth MB": round(grown[0] / MEGABYTE, 1),
        }
    return figures


async def _push(server: Server, head: bytes, chunk: bytes) -> Answer:
    """Send the same chunk until an answer is there."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = asyncio.create_task(read_answer(reader, started))
    with suppress(OSError):
        writer.write(head)
        while not answer.done():
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
    result = await answer
    writer.close()
    return result


async def trickle(server: Server, begin: bytes, end: float) -> Answer | None:
    """Send a beginning, and a byte now and then, until it is answered; None where that is not before ``end``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = asyncio.create_task(read_answer(reader, time.perf_counter()))
    with suppress(OSError):
        writer.write(begin)
        await writer.drain()
        while not answer.done() and time.monotonic() < end:
            writer.write(b"a")
            await writer.drain()
            await asyncio.wait((answer,), timeout=0.5)
    answered = answer.done()
    # One that is broken off by the server is answered a moment later.
    if not answered and time.monotonic() < end:
        answered = bool((await asyncio.wait((answer,), timeout=2))[0])
    answer.cancel()
    writer.close()
    return answer.result() if answered else None


async def slow_clients(
    server: Server, picture: bytes, sockets: int, seconds: float, asked: int
) -> dict[str, Any]:
    """S3: sockets that trickle heads, bodies, and every tenth the end of a large body; and a client that does not.

    The large ones together are more than the server holds, and come again as soon as they are told to. The other
    client asks all the while, and ``asked`` times before and after.
    """
    slow: list[Answer] = []
    unended: list[float] = []
    large = post(bytes(LARGE))[:-1000]

    async def keep_trickling(number: int) -> None:
        begin = large if number % 10 == 9 else post(picture)[: 40 if number % 2 else 200]
        end = time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            answer = await trickle(server, begin, end)
            if answer is None:
                unended.append(time.monotonic() - started)
            else:
                slow.append(answer)
                await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    async def other(end: float = 0.0) -> list[float]:
        """Seconds of requests one after another: so many, and on until a moment."""
        times: list[float] = []
        while len(times) < asked or time.monotonic() < end:
            one = await ask(server.port, post(picture))
            times.append(one.seconds if one.status == 200 else float("inf"))
        return times

    alone, begun = await other(), time.monotonic()
    with growth(server) as grown:
        trickling = [asyncio.create_task(keep_trickling(number)) for number in range(sockets)]
        await asyncio.sleep(min(5.0, seconds / 2))
        beside = await other(begun + seconds)
        await asyncio.gather(*trickling)
    # Before and after: the machine's own load changes meanwhile.
    alone += await other()
    p99 = [sorted(times)[math.ceil(0.99 * len(times)) - 1] for times in (alone, beside)]
    return {
        "asked": [len(alone), len(beside)],
        "p99 alone s": round(p99[0], 3),
        "p99 beside s": round(p99[1], 3),
        "refused beside": sum(one == float("inf") for one in beside),
        "ratio": round(p99[1] / p99[0], 2),
        "ends of slow requests": dict(Counter(one.status for one in slow)),
        "longest slow request s": round(max((*unended, *(one.seconds for one in slow)), default=0), 1),
        "growth MB": round(grown[0] / MEGABYTE, 1),
    }
