"""S1, S5: more requests than fit, and decoding processes that are killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import Any

from attacks.client import Answer, ask, get, post
from attacks.server import MEGABYTE, Server, growth


async def overload(server: Server, picture: bytes, clients: int, each: int) -> dict[str, Any]:
    """S1: every client asks again as soon as it is answered, and takes a 503 for an answer.

    Meanwhile somebody looks at health and figures, as a monitor does: those have no queue.
    """
    scrapes: list[int] = []

    async def client() -> list[Answer]:
        return [await ask(server.port, post(picture)) for _ in range(each)]

    async def monitor() -> None:
        while True:
            both = [await ask(server.port, get(path)) for path in ("/metrics", "/health/live")]
            scrapes.extend(one.status for one in both)
            await asyncio.sleep(0.2)

    with growth(server) as grown:
        watching = asyncio.create_task(monitor())
        answers = [one for many in await asyncio.gather(*(client() for _ in range(clients))) for one in many]
        watching.cancel()
    told = [one for one in answers if one.status == 503]
    return {
        "statuses": dict(Counter(one.status for one in answers)),
        "lost": sum(one.status == 0 for one in answers),
        "slowest 200 s": round(max((one.seconds for one in answers if one.status == 200), default=0), 1),
        "without Retry-After": sum("retry-after" not in one.headers for one in told),
        "scrapes": dict(Counter(scrapes)),
        "growth MB": round(grown[0] / MEGABYTE, 1),
    }


async def killed_decoders(
    server: Server, picture: bytes, kills: int, clients: int, pause: float
) -> dict[str, Any]:
    """S5: a decoding process is killed again and again while clients ask."""
    killed, over = 0, False
    answers: list[Answer] = []

    async def client() -> None:
        while not over:
            answers.append(await ask(server.port, post(picture)))

    asking = [asyncio.create_task(client()) for _ in range(clients)]
    while killed < kills and server.process.poll() is None:
        await asyncio.sleep(pause)
        for pid in server.decoders()[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    await asyncio.sleep(pause)
    over = True
    await asyncio.gather(*asking)
    after = await ask(server.port, post(picture))
    statuses = Counter(one.status for one in answers)
    return {
        "kills": killed,
        "statuses": dict(statuses),
        "failed": sum(count for status, count in statuses.items() if status != 200),
        "lost": statuses[0],
        "status after": after.status,
        "server alive": server.process.poll() is None,
    }
