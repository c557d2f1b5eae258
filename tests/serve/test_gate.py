"""What is let in is let out again, whatever happens to it."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest
from starlette.requests import Request
from starlette.types import Message

from foveal.serve.bodies import read_bytes, received
from foveal.serve.gate import Gate
from foveal.serve.refusal import Refusal
from foveal.serve.settings import Limits

LIMITS = Limits(queue=3, body_bytes=100, buffered_bytes=250)


def test_pictures() -> None:
    gate = Gate(LIMITS)
    with gate.admit(2):
        with (
            pytest.raises(Refusal, match="the queue is full: 2 pictures wait, of 3 at most") as caught,
            gate.admit(2),
        ):
            pass
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        with gate.admit(1):
            assert gate.pictures == 3
    assert gate.pictures == 0
    with (
        pytest.raises(Refusal, match="4 pictures in a request; this server takes 3") as caught,
        gate.admit(4),
    ):
        pass
    assert (caught.value.status, caught.value.headers) == (413, {})
    with pytest.raises(KeyError), gate.admit(3):
        raise KeyError
    assert gate.pictures == 0


def test_bytes() -> None:
    gate = Gate(LIMITS)
    with gate.body() as body:
        body.add(100)
        with pytest.raises(Refusal, match="over 100 bytes") as caught:
            body.add(1)
    assert caught.value.status == 413
    assert gate.bytes == 0
    with pytest.raises(Refusal, match="the body has 101 bytes; this server takes 100"), gate.body() as body:
        body.announce(101)
    with gate.body() as one, gate.body() as two:
        for whole in (one, two):
            whole.add(100)
            whole.end()
        with pytest.raises(Refusal, match="as many bytes of requests") as caught, gate.body() as three:
            three.add(51)
        assert caught.value.status == 503
        assert gate.bytes == 200
    assert gate.bytes == 0


def test_who_holds_room_the_longest_gives_way() -> None:
    gate = Gate(LIMITS)
    woken: list[str] = []
    with gate.body() as whole, gate.body() as held, gate.body() as small, gate.body() as late:
        whole.add(100)
        whole.end()
        held.add(99)
        small.add(1)
        held.wake = lambda: woken.append("held")
        late.add(60)
        assert (woken, gate.bytes) == (["held"], 161)
        late.add(20)
        with pytest.raises(Refusal, match="as many bytes of requests") as caught:
            held.add(1)
        assert caught.value.status == 503
        small.add(50)
        assert gate.bytes == 231
    assert (gate.bytes, gate.coming) == (0, set())


def test_a_body_that_is_waited_for_gives_way_at_once() -> None:
    gate = Gate(LIMITS)

    async def body(*parts: bytes, ends: bool) -> bytes:
        coming = list(parts)

        async def receive() -> Message:
            if not coming and not ends:
                await asyncio.sleep(60)
            part = coming.pop(0) if coming else b""
            return {"type": "http.request", "body": part, "more_body": bool(coming) or not ends}

        request = Request({"type": "http", "headers": []}, receive)
        async with received(request, gate, LIMITS) as chunks, aclosing(chunks):
            content = await read_bytes(chunks)
            await asyncio.sleep(0.2)
            return content

    async def work() -> None:
        held = [asyncio.create_task(body(b"x" * 90, ends=False)) for _ in range(2)]
        await asyncio.sleep(0.01)
        began = time.monotonic()
        assert await body(b"y" * 50, b"y" * 50, ends=True) == b"y" * 100
        with pytest.raises(Refusal, match="as many bytes of requests") as caught:
            await held[0]
        assert caught.value.status == 503
        assert time.monotonic() - began < LIMITS.body_seconds / 2
        assert not held[1].done()
        held[1].cancel()
        await asyncio.gather(*held, return_exceptions=True)
        assert (gate.bytes, gate.coming) == (0, set())

    asyncio.run(work())
