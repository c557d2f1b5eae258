"""X3: everybody at once: those with good pictures, and those with anything else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from attacks.bodies import LARGE, announced, endless, trickle
from attacks.client import Answer, ask, get, post
from attacks.server import Server
from PIL import Image

PROMISED: dict[str, set[int]] = {
    "good picture": {200, 503},
    "form of several": {200, 503},
    "damaged picture": {200, 413, 415, 422, 503},
    "no bytes": {400},
    "huge body": {413, 503},
    "slow request": {408, 503},
    "tensor": {200, 503},
    "wrong tensor": {400, 503},
    "page": {200},
    "unknown address": {404},
    "metrics, live": {200},
    "ready": {200, 503},
}
"""Statuses that each kind of request may be answered with; 0, no answer at all, never."""
SIZES = ((1, 1), (320, 240), (1280, 960), (4000, 3000))


class Mixture:
    """Clients of a server, until a moment; all that they were answered is counted."""

    def __init__(self, server: Server, picture: bytes, seed: int) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.mixed_up = 0
        """Answers of 200 with other detections than the first for the same picture."""
        self.aborted = self.kills = 0
        self.end = 0.0
        self._server = server
        self._chance = random.Random(seed)
        self._pictures = [picture, *(resized(picture, size) for size in SIZES)]
        self._first: dict[bytes, Any] = {}

    async def run(self, seconds: float) -> None:
        """All clients at work."""
        self.end = time.monotonic() + seconds
        model = json.loads((await ask(self._server.port, get("/v1/model"))).body)
        sides = [model["canvas"]["height"], model["canvas"]["width"]]
        infer = f"/v2/models/{model['name']}/infer"
        clients: list[tuple[int, float, Callable[[], Awaitable[None]]]] = [
            (4, 0.0, self._good),
            (1, 0.1, self._form),
            (1, 0.1, self._damaged),
            (1, 2.0, self._huge),
            (6, 0.0, self._slow),
            (2, 0.2, self._abort),
            (1, 0.1, lambda: self._tensor(infer, sides)),
            (1, 0.2, self._page),
            (1, 1.0, self._monitor),
            (1, 15.0, self._kill),
        ]
        async with asyncio.TaskGroup() as group:
            for count, pause, client in clients:
                for _ in range(count):
                    group.create_task(self._again(client, pause))

    async def _again(self, client: Callable[[], Awaitable[None]], pause: float) -> None:
        while time.monotonic() < self.end:
            await client()
            await asyncio.sleep(
                min(pause * self._chance.uniform(0.5, 1.5), max(0, self.end - time.monotonic()))
            )

    async def _ask(self, kind: str, request: bytes) -> Answer:
        answer = await ask(self._server.port, request)
        self.answers[kind, answer.status] += 1
        return answer

    async def _good(self) -> None:
        picture = self._chance.choice(self._pictures)
        answer = await self._ask(
            "good picture", post(picture, "/v1/detect?all=true", "application/octet-stream")
        )
        if answer.status == 200:
            (found,) = json.loads(answer.body)["pictures"]
            self.mixed_up += not alike(found, self._first.setdefault(picture, found))

    async def _form(self) -> None:
        part = '--b\r\nContent-Disposition: form-data; name="file"; filename="<b>.png"\r\n\r\n'
        pictures = [b"", b"no picture", *self._chance.sample(self._pictures[:3], 2)]
        body = b"".join(part.encode() + picture + b"\r\n" for picture in pictures) + b"--b--\r\n"
        answer = await self._ask("form of several", post(body, kind="multipart/form-data; boundary=b"))
        if answer.status == 200:
            faults = [row["error"] is not None for row in json.loads(answer.body)["pictures"]]
            self.mixed_up += faults[:2] != [True, True] or len(faults) != len(pictures)

    async def _damaged(self) -> None:
        picture = bytearray(self._chance.choice(self._pictures))
        for _ in range(self._chance.randint(1, 8)):
            picture[self._chance.randrange(len(picture))] = self._chance.randrange(256)
        await self._ask(
            "damaged picture", post(bytes(picture[: self._chance.randrange(1, len(picture) + 1)]))
        )
        await self._ask("no bytes", post(b""))

    async def _huge(self) -> None:
        answer = await self._chance.choice((announced, endless))(self._server)
        self.answers["huge body", answer.status] += 1

    async def _slow(self) -> None:
        begins = (post(self._pictures[0])[:40], post(self._pictures[0])[:200], post(bytes(LARGE))[:-1000])
        answer = await trickle(self._server, self._chance.choice(begins), self.end)
        if answer is not None:
            self.answers["slow request", answer.status] += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    async def _abort(self) -> None:
        """A client that goes, in order or not, before it has asked or before it is answered."""
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            request = post(self._chance.choice(self._pictures))
            writer.write(request[: self._chance.choice((0, 30, len(request) // 2, len(request)))])
            await asyncio.sleep(self._chance.uniform(0, 0.1))
            if self._chance.random() < 0.5:
                link = writer.get_extra_info("socket")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        self.aborted += 1

    async def _tensor(self, path: str, sides: list[int]) -> None:
        shape = [self._chance.choice((1, 2)), 3, *sides]
        size = shape[0] * 3 * sides[0] * sides[1]
        parameters = {"binary_data_size": size}
        tensor = {"name": "images", "datatype": "UINT8", "shape": shape, "parameters": parameters}
        head = json.dumps({"inputs": [tensor]}).encode()
        length = f"Inference-Header-Content-Length: {len(head)}\r\n"
        body = head + self._chance.randbytes(size)
        await self._ask("tensor", post(body, path, "application/octet-stream", length))
        await self._ask("wrong tensor", post(body[:-1], path, "application/octet-stream", length))

    async def _page(self) -> None:
        for path in ("/", "/app.js", "/samples/1.png", "/v1/model", "/openapi.json", "/v2"):
            await self._ask("page", get(path))
        await self._ask("unknown address", get(f"/{self._chance.random()}"))

    async def _monitor(self) -> None:
        for path in ("/metrics", "/health/live"):
            await self._ask("metrics, live", get(path))
        await self._ask("ready", get("/health/ready"))

    async def _kill(self) -> None:
        for pid in self._server.decoders()[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills += 1


def resized(picture: bytes, size: tuple[int, int]) -> bytes:
    """As a camera would have saved it at another size."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").resize(size).save(stream, "JPEG")
    return stream.getvalue()


def alike(found: dict[str, Any], first: dict[str, Any]) -> bool:
    """Whether two answers are of the same picture, as exactly as passes of different company are equal."""
    pairs = zip(found["detections"], first["detections"], strict=False)
    return len(found["detections"]) == len(first["detections"]) and all(
        abs(one["score"] - other["score"]) < 1e-3 for one, other in pairs
    )
