"""S6: the end of a server, asked for or sudden, while it works."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections import Counter
from typing import Any

from attacks.client import ask, get, post, read_answer
from attacks.server import Server, alive


async def stop_under_load(server: Server, picture: bytes, requests: int) -> dict[str, Any]:
    """S6: SIGTERM while requests lack their last byte, which comes after it; then whether anything is left."""
    family = server.family()
    request = post(picture)
    links = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(requests)]
    for _, writer in links:
        writer.write(request[:-1])
    # The server holds what was sent: every request is in flight.
    while await held_bytes(server.port) < requests * (len(picture) - 1):
        await asyncio.sleep(0.05)
    started = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    while (late := await ask(server.port, get("/health/live"))).status:
        await asyncio.sleep(0.05)
    for _, writer in links:
        writer.write(request[-1:])
    answers = await asyncio.gather(*(read_answer(reader, started) for reader, _ in links))
    for _, writer in links:
        writer.close()
    code = await asyncio.to_thread(server.process.wait, 60)
    seconds = time.perf_counter() - started
    end = time.monotonic() + 2
    while any(map(alive, family)) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free = probe.bind(("127.0.0.1", server.port)) is None
    return {
        "in flight": requests,
        "statuses": dict(Counter(one.status for one in answers)),
        "status of a new one": late.status,
        "exit code": code,
        "seconds": round(seconds, 1),
        "orphans": sum(map(alive, family)),
        "port free": free,
    }


async def held_bytes(port: int) -> float:
    """Of request bodies, as the server counts them."""
    text = (await ask(port, get("/metrics"))).body.decode()
    found = re.search(r"^foveal_body_bytes (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def kill_server(server: Server, seconds: float = 20.0) -> dict[str, Any]:
    """What is left, after so many seconds at most, of a server that gets no chance to stop."""
    family = server.family()
    started = time.perf_counter()
    server.process.kill()
    server.process.wait()
    while any(map(alive, family)) and time.perf_counter() - started < seconds:
        await asyncio.sleep(0.05)
    return {
        "processes": len(family),
        "orphans": sum(map(alive, family)),
        "seconds": round(time.perf_counter() - started, 1),
    }
