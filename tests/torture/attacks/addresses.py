"""S7: addresses of others wherever a picture could be."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attacks.client import ask, get, post
from attacks.server import Server

LISTENS = "0A"
"""State of a socket in /proc/net/tcp."""


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
    rows = [fields for fields in sockets(pid) if fields[3] != LISTENS]
    return [(int(fields[1].rpartition(":")[2], 16), fields[2]) for fields in rows]


def listening(pid: int) -> list[str]:
    """The addresses on which a process listens; of IPv6 as the system writes them."""
    hosts = [fields[1].partition(":")[0] for fields in sockets(pid) if fields[3] == LISTENS]
    return [socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else host for host in hosts]


def sockets(pid: int) -> list[list[str]]:
    """Rows of /proc/net/tcp and tcp6 for the sockets of a process."""
    owned = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            owned.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in owned:
                found.append(fields)
    return found
