"""Request bodies, counted while they come: pictures of a form, one picture, or anything as bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from foveal.serve.gate import Body, Gate
from foveal.serve.refusal import Refusal, sendable
from foveal.serve.settings import Limits

FIELD = "file"
OTHER_FIELDS = 16
"""Fields besides the pictures that a form may have."""
NAME_LENGTH = 255
PART = 1 << 20
"""Bytes that are held in one piece while a body comes: one that grows can be copied, and is then there twice."""
# What it warns of is told to the sender, and would otherwise fill the server's output.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
HOW = "send pictures as multipart/form-data in the field 'file', or one picture as the whole body"


class Upload(NamedTuple):
    """A picture as it came."""

    name: str
    content: bytes


class _InMemory(MultiPartParser):
    """No file of a form goes to disk: bodies are bounded."""

    spool_max_size = 1 << 40
    ended = False
    """Whether the last boundary came: what stands before a missing one would be dropped without a word."""

    def on_end(self) -> None:
        """The last boundary."""
        self.ended = True


@asynccontextmanager
async def received(
    request: Request, gate: Gate, limits: Limits
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The body's chunks. All of them must be read inside this context, which keeps the bytes counted.

    Refusal 413 and 503 by ``Gate``, 415 for a compressed body.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Refusal(415, f"Content-Encoding {coding[:50]!r} is not taken: send the body as it is")
    with gate.body() as body:
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            body.announce(int(length))
        yield _chunks(request, body, limits.body_seconds)


async def read_pictures(request: Request, chunks: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    """The pictures of a request, at most ``most``. Refusal 400, 408, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(request, chunks, most)
    if kind and kind != "application/octet-stream" and not kind.startswith("image/"):
        raise Refusal(
            415, f"Content-Type {kind[:80]!r} is no picture: {HOW} with Content-Type: image/jpeg or its own"
        )
    content = await read_bytes(chunks)
    if not content:
        raise Refusal(400, f"the body is empty: {HOW}")
    return [Upload("body", content)]


async def read_bytes(chunks: AsyncGenerator[bytes, None]) -> bytes:
    """The whole body."""
    parts = [bytearray()]
    async for chunk in chunks:
        if len(parts[-1]) >= PART:
            parts.append(bytearray())
        parts[-1] += chunk
    return b"".join(parts)


async def _chunks(request: Request, body: Body, seconds: float) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(end) as deadline:
                body.wake = partial(_end_now, deadline)
                chunk = await anext(stream, None)
        except TimeoutError:
            body.check()
            raise Refusal(
                408, f"the body did not come in {seconds:g} s: {body.size:,} bytes were there by then"
            ) from None
        finally:
            body.wake = lambda: None
        if chunk is None:
            body.end()
            return
        body.add(len(chunk))
        yield chunk


def _end_now(deadline: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it is over already
        deadline.reschedule(0)


async def _form(request: Request, chunks: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    parser = _InMemory(request.headers, chunks, max_files=most, max_fields=OTHER_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        reason = error.message.rstrip(".")
        status = 413 if reason.startswith("Too many files") else 400
        raise Refusal(status, f"the form cannot be read: {reason}; {HOW}") from None
    except FormParserError:  # up to Starlette 1.0 it comes through
        raise Refusal(400, f"the form cannot be read: Invalid multipart data; {HOW}") from None
    except UnicodeError:  # of an odd charset; the parser expects UnicodeDecodeError alone
        raise Refusal(400, f"the form cannot be read: its names are not of its charset; {HOW}") from None
    if not parser.ended:
        raise Refusal(400, f"the form cannot be read: it ends before its last boundary; {HOW}")
    files = form.getlist(FIELD)
    if not files:
        names = ", ".join(repr(name[:30]) for name in list(form)[:5]) or "no field"
        raise Refusal(400, f"the form has {names}: {HOW}")
    uploads = []
    for number, file in enumerate(files):
        if not isinstance(file, UploadFile):
            raise Refusal(400, f"field 'file' is text, not a file: {HOW}")
        name = (file.filename or f"picture {number + 1}")[:NAME_LENGTH]
        uploads.append(Upload(sendable(name), await file.read()))
    await form.close()
    return uploads
