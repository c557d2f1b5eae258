"""A client that can misbehave: requests as bytes, on connections of their own."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple


class Answer(NamedTuple):
    """What came back; status 0: nothing did."""

    status: int
    seconds: float
    headers: dict[str, str]
    body: bytes


def post(body: bytes, path: str = "/v1/detect", kind: str = "image/jpeg", more: str = "") -> bytes:
    """A request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def read_answer(reader: asyncio.StreamReader, started: float) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), time.perf_counter() - started, headers, body)
    except (asyncio.IncompleteReadError, OSError):
        return Answer(0, time.perf_counter() - started, {}, b"")


async def ask(port: int, request: bytes) -> Answer:
    """One request on a connection of its own."""
    started = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Answer(0, time.perf_counter() - started, {}, b"")
    try:
        writer.write(request)
        return await read_answer(reader, started)
    finally:
        writer.close()
