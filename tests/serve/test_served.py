"""Decoding processes and the model behind a server, without HTTP."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.data.decode import read_picture
from foveal.runtime.pictures import place_picture
from foveal.runtime.predictor import Predictor
from foveal.serve.bodies import Upload
from foveal.serve.decoders import Decoder, DecoderPool
from foveal.serve.metrics import Metrics
from foveal.serve.refusal import Refusal
from foveal.serve.served import ServedModel
from foveal.serve.settings import DecodingRules, Limits

CANVAS = (96, 128)


def saved(array: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


async def canvas_of(pool: DecoderPool, content: bytes) -> torch.Tensor:
    async with pool.lend() as decoder:
        await decoder.ask({"kind": "picture", "name": "a.png"}, content)
        return await decoder.canvases(1, CANVAS)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def until(condition: Any) -> None:
    async with asyncio.timeout(200):  # a process that loads torch on a busy machine
        while not condition():
            await asyncio.sleep(0.01)


async def refusal(pool: DecoderPool, content: bytes) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        await canvas_of(pool, content)
    return caught.value.status, caught.value.message


def test_decoding_processes(tmp_path: Path, torture: Any) -> None:
    """One start for several facts: it loads torch in a process of its own."""
    noise = np.random.default_rng(0).integers(0, 255, (50, 90, 3), dtype=np.uint8)
    good = saved(noise)
    (tmp_path / "a.png").write_bytes(good)
    expected, _ = place_picture(read_picture(tmp_path / "a.png"), CANVAS)

    async def work() -> None:
        died: list[int] = []
        rules = DecodingRules(CANVAS, None, 1_000_000, 10.0, 1_000_000)
        pool = DecoderPool(2, rules, lambda: died.append(1))
        await pool.start()
        pids = {decoder.pid for decoder in pool._all}
        assert len(pids) == 2
        assert os.getpid() not in pids
        # Ctrl-C in a terminal goes to the server's group, and must not end them first.
        assert os.getpgrp() not in {os.getpgid(pid) for pid in pids}
        # Whatever a picture makes of a decoder, it opens no file and no socket.
        for pid in pids:
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"^Max open files +0 +0 ", limits, re.MULTILINE)
            assert re.search(r"^Max file size +0 +0 ", limits, re.MULTILINE)
        found = await canvas_of(pool, good)
        assert torch.equal(found[0], expected)

        # What is refused, the process survives.
        assert await refusal(pool, b"text") == (
            415, "a.png: not a picture that can be read (JPEG, PNG, WEBP, BMP, TIFF)"
        )  # fmt: skip
        assert (await refusal(pool, saved(np.zeros((1001, 1000), np.uint8))))[0] == 413
        assert (await refusal(pool, good[: len(good) // 2]))[0] == 422
        assert {decoder.pid for decoder in pool._all} == pids
        assert not died

        # One that dies idle is replaced before anybody asks.
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(died) == 2 and pool.alive == 2)
        assert torch.equal((await canvas_of(pool, good))[0], expected)

        # One that dies at work costs one answer.
        async def killed() -> None:
            async with pool.lend() as decoder:
                os.kill(decoder.pid, signal.SIGKILL)
                await decoder.ask({"kind": "picture", "name": "a.png"}, good)

        with pytest.raises(Refusal, match="the process that decoded this picture ended") as caught:
            await killed()
        assert caught.value.status == 503
        assert torch.equal((await canvas_of(pool, good))[0], expected)

        # Who leaves in the middle leaves no answer behind for the next.
        async def left() -> None:
            async with pool.lend() as decoder:
                await decoder.ask({"kind": "picture", "name": "a.png"}, good)
                raise KeyError

        with pytest.raises(KeyError):
            await left()
        assert torch.equal((await canvas_of(pool, good))[0], expected)

        # The process that forks them may die, too.
        await until(lambda: pool.alive == 2)
        kept = [decoder.pid for decoder in pool._all]
        os.kill(parent_of(kept[0]), signal.SIGKILL)
        os.kill(kept[0], signal.SIGKILL)
        await until(lambda: pool.alive == 1)
        assert torch.equal((await canvas_of(pool, good))[0], expected)
        await until(lambda: pool.alive == 2)
        last: list[Decoder] = list(pool._all)

        # Who still holds one at the end has no other started in its place.
        async def held() -> None:
            async with pool.lend():
                await asyncio.sleep(60)

        holder = asyncio.create_task(held())
        await asyncio.sleep(0)
        await pool.stop()
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        assert (pool._tasks, pool._parent) == (set(), None)
        await until(lambda: not any(torture.alive(decoder.pid) for decoder in last))

    asyncio.run(work())


SERVER = """
import asyncio
from foveal.serve.decoders import DecoderPool
from foveal.serve.settings import DecodingRules

async def work():
    pool = DecoderPool(2, DecodingRules((96, 128), None, 1_000_000, 10.0, 1_000_000))
    await pool.start()
    print(pool._parent.pid, *(decoder.pid for decoder in pool._all), flush=True)
    await asyncio.sleep(600)

asyncio.run(work())
"""


def test_they_end_with_a_server_that_is_killed(torture: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            pids = [int(pid) for pid in server.stdout.readline().split()]
            assert [torture.alive(pid) for pid in pids] == [True] * 3
        finally:
            server.kill()
    asyncio.run(until(lambda: not any(torture.alive(pid) for pid in pids)))


def test_a_picture_that_takes_too_long_ends_its_process() -> None:
    async def work() -> None:
        pool = DecoderPool(1, DecodingRules(CANVAS, None, 50_000_000, 0.002, 1_000_000))
        await pool.start()
        status, message = await refusal(pool, saved(np.zeros((4000, 5000), np.uint8)))
        assert (status, message) == (422, "it takes more than 0.002 s to decode")
        await pool.stop()

    asyncio.run(work())


@pytest.mark.parametrize("tiles", ["none", 64])
def test_the_detections_of_the_predictor(
    trained: Any, pictures: list[Path], same_detections: Callable[..., None], tiles: int | str
) -> None:
    predictor = Predictor(trained.best, "cpu", tiles=tiles)

    async def work() -> None:
        served = ServedModel(predictor, Limits(batch=2), Metrics())
        assert not served.ready
        await served.start()
        assert served.ready
        for everything in (False, True):
            uploads = [Upload(path.name, path.read_bytes()) for path in pictures[:4]]
            found = await asyncio.gather(*(served.detect(upload, everything) for upload in uploads))
            for path, mine in zip(pictures, found, strict=False):
                theirs = Predictor(trained.best, "cpu", 0.0 if everything else None, tiles=tiles)(path)
                assert len(mine) > 0 or not everything
                same_detections(mine, theirs, 1e-3, 1e-5)
                assert sorted(mine.names) == sorted(theirs.names)
                assert (mine.height, mine.width) == (theirs.height, theirs.width)
        await served.stop()

    asyncio.run(work())


def odd_pictures(path: Path) -> dict[str, bytes]:
    """A picture as cameras, scanners and printers save it."""
    image = Image.open(path).convert("RGB").resize((120, 90))
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = image.copy()
    clear.putalpha(image.convert("L"))

    def saved_as(one: Image.Image, kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        one.save(stream, kind, **options)
        return stream.getvalue()

    return {
        "turned.jpg": saved_as(image, "JPEG", exif=turned),
        "printed.jpg": saved_as(image.convert("CMYK"), "JPEG"),
        "scanned.png": saved_as(Image.fromarray(grey), "PNG"),
        "clear.png": saved_as(clear, "PNG"),
        "pages.tif": saved_as(image, "TIFF", save_all=True, append_images=[image.rotate(180)]),
        "lossy.webp": saved_as(image, "WEBP"),
    }


def test_odd_pictures_are_read_as_the_predictor_reads_them(
    trained: Any, pictures: list[Path], tmp_path: Path
) -> None:
    predictor = Predictor(trained.best, "cpu", 0.0)
    odd = odd_pictures(pictures[0])
    animated = io.BytesIO()
    Image.new("L", (8, 8)).save(animated, "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 9)])

    async def work() -> list[Any]:
        served = ServedModel(predictor, Limits(batch=1, decoders=1), Metrics())
        await served.start()
        found = [await served.detect(Upload(name, content), False) for name, content in odd.items()]
        with pytest.raises(Refusal, match=r"a.gif: not a picture that can be read") as caught:
            await served.detect(Upload("a.gif", animated.getvalue()), False)
        assert caught.value.status == 415
        await served.stop()
        return found

    for (name, content), mine in zip(odd.items(), asyncio.run(work()), strict=True):
        (tmp_path / name).write_bytes(content)
        theirs = predictor(tmp_path / name)
        assert len(mine) > 0
        assert mine.to_dict() == theirs.to_dict()
        assert (mine.width, mine.height) == ((90, 120) if name == "turned.jpg" else (120, 90))
