"""Work for a request, as long as somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from foveal.serve.refusal import Refusal

T = TypeVar("T")


async def while_wanted(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of the work; it is stopped where the client hangs up or the time is over.

    The body must have been read. ClientDisconnect, Refusal 504.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise Refusal(504, f"no answer in {seconds:g} s: too much work for this server, or for its queue")
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
