"""S2, S3: bodies that are too large, and clients that are too slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from torture.client import Answer, ask, post, read_answer
from torture.server import MEGABYTE, Server, growth


async def huge_bodies(server: Server, size: int = 200 * MEGABYTE) -> dict[str, Any]:
    """S2: a body that says its size, and one in chunks without an end."""

    async def announced() -> Answer:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        return await _push(reader, writer, started, b"\0" * 65536)

    async def endless() -> Answer:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        return await _push(reader, writer, started, b"10000\r\n" + b"\0" * 65536 + b"\r\n")

    figures: dict[str, Any] = {}
    for name, send in (("announced", announced), ("endless", endless)):
        async with growth(server) as grown:
            answer = await send()
        figures[name] = {
            "status": answer.status,
            "seconds": round(answer.seconds, 2),
            "growth MB": round(grown[0] / MEGABYTE, 1),
        }
    return figures


async def _push(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, started: float, chunk: bytes
) -> Answer:
    """Send the same chunk until an answer is there."""
    answer = asyncio.create_task(read_answer(reader, started))
    with suppress(OSError):
        while not answer.done():
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
    result = await answer
    writer.close()
    return result


async def slow_clients(
    server: Server, picture: bytes, sockets: int, seconds: float, asked: int
) -> dict[str, Any]:
    """S3: sockets that trickle heads and bodies, and a client beside them that does not."""
    ends: Counter[int] = Counter()

    async def trickle(number: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            begin = post(picture)[: 40 if number % 2 else 200]
            writer.write(begin)
            answer = asyncio.create_task(read_answer(reader, time.perf_counter()))
            with suppress(OSError):
                while not answer.done() and time.monotonic() < end:
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.wait((answer,), timeout=0.5)
            if answer.done():
                ends[answer.result().status] += 1
            else:
                answer.cancel()
            writer.close()

    async def other() -> list[float]:
        answers = [await ask(server.port, post(picture)) for _ in range(asked)]
        return sorted(one.seconds if one.status == 200 else float("inf") for one in answers)

    alone = await other()
    slow = [asyncio.create_task(trickle(number)) for number in range(sockets)]
    await asyncio.sleep(min(2.0, seconds / 2))
    beside = await other()
    await asyncio.gather(*slow)
    # Before and after: the machine's own load changes meanwhile.
    alone = sorted([*alone, *await other()])
    p99 = [times[min(len(times) - 1, int(0.99 * len(times)))] for times in (alone, beside)]
    return {
        "p99 alone s": round(p99[0], 3),
        "p99 beside s": round(p99[1], 3),
        "ratio": round(p99[1] / p99[0], 2),
        "ends of slow requests": dict(ends),
    }
