"""What `foveal serve` promises under overload, attack and kill (S1-S7 of docs/serve.md), on a live server.

    python benchmarks/serve_torture.py runs/bccd/best.safetensors street.jpg            all of it: about 5 minutes
    python benchmarks/serve_torture.py MODEL PICTURE --only S2 S4

Linux, as memory is read from /proc. Prints one line per promise; times are of this machine as loaded as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

MEGABYTE = 1_000_000


class Answer(NamedTuple):
    """What came back; status 0: nothing did."""

    status: int
    seconds: float
    headers: dict[str, str]
    body: bytes


class Server:
    """A server in a process of its own, which ends with the context."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, stderr=stream, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.port = self._wait(900)

    def _wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(r"on http://\S+:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self.log.read_text()}")

    def family(self) -> list[int]:
        """Ids of the server and of all that it started."""
        return [self.pid, *descendants(self.pid)]

    def decoders(self) -> list[int]:
        """Ids of the processes that decode, without the one that forks them."""
        return [pid for child in children(self.pid) for pid in children(child)]

    def memory(self) -> int:
        """Resident bytes of all of them."""
        return sum(resident(pid) for pid in self.family())

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def descendants(pid: int) -> list[int]:
    own = children(pid)
    return own + [deeper for child in own for deeper in descendants(child)]


def alive(pid: int) -> bool:
    """Whether a process is there, and more than its entry in the table."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@asynccontextmanager
async def growth(server: Server) -> AsyncIterator[list[int]]:
    """Appends by how many bytes the server's memory grew at most."""
    before, most = server.memory(), [0]

    async def watch() -> None:
        while True:
            most[0] = max(most[0], server.memory() - before)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(watch())
    try:
        yield most
    finally:
        most[0] = max(most[0], server.memory() - before)
        task.cancel()


# ---------------------------------------------------------------- a client that can misbehave


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


# ---------------------------------------------------------------- S1 to S7


async def overload(server: Server, picture: bytes, clients: int, each: int) -> dict[str, Any]:
    """S1: every client asks again as soon as it is answered, and takes a 503 for an answer."""

    async def client() -> list[Answer]:
        return [await ask(server.port, post(picture)) for _ in range(each)]

    async with growth(server) as grown:
        answers = [one for many in await asyncio.gather(*(client() for _ in range(clients))) for one in many]
    told = [one for one in answers if one.status == 503]
    return {
        "statuses": dict(Counter(one.status for one in answers)),
        "lost": sum(one.status == 0 for one in answers),
        "slowest 200 s": round(max((one.seconds for one in answers if one.status == 200), default=0), 1),
        "without Retry-After": sum("retry-after" not in one.headers for one in told),
        "growth MB": round(grown[0] / MEGABYTE, 1),
    }


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


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises so much, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(pages: int) -> bytes:
    """So many pages of 8 x 8 grey pixels, all of the same bytes."""
    data = bytes(range(64))
    tags = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 3, 8), (279, 4, len(data))]
    size = 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    places = [8 + len(data) + size * page for page in range(pages)]
    directories = [
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", end) for end in [*places[1:], 0]
    ]
    return b"II*\0" + struct.pack("<I", places[0]) + data + b"".join(directories)


def bombs() -> dict[str, bytes]:
    """S4: pictures too large, or of formats that are not taken, and one of very many pages."""
    from PIL import Image

    def saved(kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        frames = [Image.new("L", (8, 8), shade) for shade in range(2)]
        frames[0].save(stream, kind, **options)
        return stream.getvalue()

    fits = b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80)
    return {
        "400 Mpx PNG": png(20_000, 20_000),
        "51 Mpx PNG": png(10_200, 5_000),
        "FITS": fits.ljust(2880),
        "GD": b"\xff\xfe\x00\x10\x00\x10\x01" + b"\0" * 2000,
        "PSD": b"8BPS\0\1" + b"\0" * 6 + struct.pack("!HIIHH", 3, 20_000, 20_000, 8, 3) + b"\0" * 100,
        "animated GIF": saved(
            "GIF", save_all=True, append_images=[Image.new("L", (8, 8), n % 256) for n in range(500)]
        ),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "10,000-page TIFF": tiff(10_000),
        "text": b"not a picture\n" * 100,
        "0 bytes": b"",
    }


async def odd_pictures(server: Server) -> dict[str, Any]:
    """S4: status, seconds and growth of each."""
    figures = {}
    for name, content in bombs().items():
        async with growth(server) as grown:
            answer = await ask(server.port, post(content, kind="application/octet-stream"))
        figures[name] = {
            "status": answer.status,
            "seconds": round(answer.seconds, 3),
            "growth MB": round(grown[0] / MEGABYTE, 1),
            "said": json.loads(answer.body).get("error", "") if answer.body else "",
        }
    return figures


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
    while killed < kills:
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


@contextmanager
def canary() -> Iterator[tuple[int, Callable[[], int]]]:
    """A port where nobody should call, and how many did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        calls = 0

        def count() -> int:
            nonlocal calls
            with suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    calls += 1
            return calls

        yield listener.getsockname()[1], count


async def addresses_of_others(server: Server) -> dict[str, Any]:
    """S7: URLs in every place where a picture could be; who is connected to whom afterwards."""
    with canary() as (port, calls):
        url = f"http://127.0.0.1:{port}/a.png"
        tensor = {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [url]}]}
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'
        doctype = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]><x>&e;</x>'
        model = (await ask(server.port, get("/v1/model"))).body
        infer = f"/v2/models/{json.loads(model)['name']}/infer"
        form = (
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{url}"\r\n\r\n{url}\r\n--b--\r\n'
        )
        requests = [
            post(url.encode()),
            post(json.dumps({"url": url}).encode(), kind="application/json"),
            post(svg.encode(), kind="image/svg+xml"),
            post(doctype.encode(), kind="image/png"),
            post(form.encode(), kind="multipart/form-data; boundary=b"),
            post(b"", f"/v1/detect?url={url}"),
            post(json.dumps(tensor).encode(), infer, "application/json"),
            get(f"/{url}"),
            get(f"/health/live?next={url}").replace(b"Host: x", f"Host: 127.0.0.1:{port}".encode()),
        ]
        answers = [await ask(server.port, request) for request in requests]
        outgoing = [place for pid in server.family() for place in connections(pid) if place[0] != server.port]
        return {"statuses": [one.status for one in answers], "calls": calls(), "outgoing": outgoing}


def connections(pid: int) -> list[tuple[int, str]]:
    """Local port and peer of every TCP connection of a process."""
    owned = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            owned.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in owned and fields[3] != "0A":  # 0A: listens
                found.append((int(fields[1].rpartition(":")[2], 16), fields[2]))
    return found


# ---------------------------------------------------------------- the whole run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--only", nargs="*", default=[f"S{number}" for number in range(1, 8)])
    parser.add_argument(
        "--serve", nargs="*", default=[], help="more arguments of foveal serve, without dashes"
    )
    options = parser.parse_args()
    picture = options.picture.read_bytes()
    rows: dict[str, Callable[[Server], Coroutine[Any, Any, dict[str, Any]]]] = {
        "S1": lambda server: overload(server, picture, clients=200, each=20),
        "S2": huge_bodies,
        "S3": lambda server: slow_clients(server, picture, sockets=100, seconds=60, asked=50),
        "S4": odd_pictures,
        "S5": lambda server: killed_decoders(server, picture, kills=10, clients=6, pause=1.0),
        "S7": addresses_of_others,
        "S6": lambda server: stop_under_load(server, picture, requests=32),
    }
    with tempfile.TemporaryDirectory() as folder:
        more = [f"--{argument}" if not argument.isdigit() else argument for argument in options.serve]
        command = [sys.executable, "-m", "foveal", "serve", options.model, "--port", "0", *more]
        server = Server(command, Path(folder) / "log")
        try:
            asyncio.run(ask(server.port, post(picture)))
            for name, attack in rows.items():
                if name in options.only:
                    print(name, json.dumps(asyncio.run(attack(server))), flush=True)
        finally:
            print("exit code", server.stop())


if __name__ == "__main__":
    main()
