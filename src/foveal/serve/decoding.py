"""The processes that read what strangers send: bytes in, pixels out; one that dies takes nothing with it.

``python -m foveal.serve.decoding HANDLE RULES`` loads what is needed once, and then forks a process for every
socket it is handed. Such a process may open no file and no socket, has a limit on its memory, and ends itself
when a picture takes too long. All of them end when the server does: their sockets close.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import torch
from PIL import Image

from foveal.data.decode import NotAPictureError, TooManyPixelsError, open_picture, read_picture
from foveal.errors import DataError
from foveal.ops.tiles import Tiling
from foveal.runtime.pictures import place_picture
from foveal.serve import frames
from foveal.serve.refusal import Refusal
from foveal.serve.settings import DecodingRules
from foveal.serve.v2_request import read_tensor

MEMORY = 2_000_000_000
"""Bytes a process may take beyond what it starts with: 50 million pixels with transparency need 1.2 GB."""

PAGES = 16
"""Of a TIFF, whose first is looked at. A few may be smaller copies and masks; more are a stack of pictures."""


def rules_from(text: str) -> DecodingRules:
    """As the server wrote them."""
    values = json.loads(text)
    tiling = None if values["tiling"] is None else Tiling(*values["tiling"])
    return DecodingRules(**{**values, "tiling": tiling, "canvas": tuple(values["canvas"])})


def main() -> None:
    """Fork a decoder for every socket that comes, until the server is gone."""
    # A Ctrl-C or a stop of the whole group is for the server, which lets us finish.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    torch.set_num_threads(1)
    # Pillow loads its readers when a picture first needs them: here once, not in every process.
    Image.init()
    rules = rules_from(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            message, handles, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                break
            with socket.socket(fileno=handles[0]) as link:
                if os.fork() == 0:
                    control.close()
                    _live(link, rules)
    # The server waits for us, and so for all of them.
    with contextlib.suppress(ChildProcessError):
        os.wait()


def _live(link: socket.socket, rules: DecodingRules) -> None:
    """All that a forked process does."""
    code = 1
    try:
        _confine()
        with link.makefile("rwb") as stream:
            work(cast("BinaryIO", stream), rules)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _confine() -> None:
    """No files, no sockets, no dumps, and a bound on memory."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii") as status:
        data = next(line for line in status if line.startswith("VmData:"))
        limit = int(data.split()[1]) * 1024 + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def work(stream: BinaryIO, rules: DecodingRules) -> None:
    """Say who we are, then answer one task after the other."""
    _answer(stream, {"pid": os.getpid()})
    while (task := frames.read(stream)) is not None:
        header, content = task
        answers = (
            _picture(header, content, rules)
            if header["kind"] == "picture"
            else _tensor(header, content, rules)
        )
        del task, content
        try:
            while True:
                with _alarm(rules.seconds):
                    answer, payload = next(answers)
                _answer(stream, answer, payload)
        except StopIteration:
            continue
        except Refusal as error:
            _answer(stream, {"status": error.status, "error": error.message})


def _picture(
    header: dict[str, Any], content: bytes, rules: DecodingRules
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Its size and windows, then a canvas for every window, as rows of pixels."""
    try:
        refuse_stack(header["name"], rules.max_pixels, content)
        array = read_picture(header["name"], rules.max_pixels, content)
    except DataError as error:
        fits = {NotAPictureError: 415, TooManyPixelsError: 413}
        raise Refusal(fits.get(type(error), 422), str(error)) from None
    height, width = array.shape[:2]
    windows = [[0, 0, width, height]]
    if rules.tiling is not None:
        windows = rules.tiling.windows(height, width).tolist()
    yield {"height": height, "width": width, "windows": windows}, b""
    for x1, y1, x2, y2 in windows:
        image, _ = place_picture(array[y1:y2, x1:x2], rules.canvas)
        yield {}, image.permute(1, 2, 0).contiguous().numpy().data.cast("B")


def refuse_stack(name: str, max_pixels: int, content: bytes) -> None:
    """413 for a TIFF of more than ``PAGES`` pages: of all its pictures, one would be looked at without a word."""
    if not content.startswith((b"II", b"MM")):
        return
    with open_picture(name, max_pixels, content) as (image, _):
        try:
            image.seek(PAGES)
        except Exception:  # there are fewer, or a later one is damaged, which the first does not mind
            return
    raise Refusal(413, f"{name}: over {PAGES} pages; send each as a picture of its own")


def _tensor(
    header: dict[str, Any], content: bytes, rules: DecodingRules
) -> Iterator[tuple[dict[str, Any], Any]]:
    """What the request asks for, with its tensor."""
    try:
        asked, images = read_tensor(content, header["json_bytes"], rules.tensor_pixels)
    except MemoryError:
        raise Refusal(
            413, "the request does not fit in memory; send fewer pictures, or binary tensors"
        ) from None
    yield asked, images.data.cast("B")


def _answer(stream: BinaryIO, header: dict[str, Any], payload: Any = b"") -> None:
    stream.write(frames.pack(header, payload))
    stream.write(payload)
    stream.flush()


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """The system ends this process after so many seconds, even inside a decoder's own code."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
