"""A server in a process of its own, and what /proc says of it and of all that it started. Linux."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attacks.client import ask, post
from frame import ENVIRONMENT, FOVEAL, Place

from foveal.runtime.sources import find_pictures

MEGABYTE = 1_000_000


class Server:
    """A server in a process of its own, which ends with the context."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, stderr=stream, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
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
        return [pid for child in children(self.pid) for pid in children(child) if alive(pid)]

    def memory(self) -> int:
        """Resident bytes of all of them."""
        return sum(resident(pid) for pid in self.family())

    def proportional_memory(self) -> int:
        """Bytes that are theirs alone, a page that n of them share counted as its n-th part each.

        Without pages of files: what a library takes is shared with every process of the machine that has it
        loaded, and so would fall and rise with those.
        """
        return sum(proportional(pid) for pid in self.family())

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


def proportional(pid: int) -> int:
    with suppress(OSError):
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(1024 * int(row.split()[1]) for row in rows if row.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return 0


def peak(pid: int) -> int:
    """Most resident bytes that a process has had, since ``growth`` began."""
    with suppress(OSError):
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(1024 * int(row.split()[1]) for row in rows if row.startswith("VmHWM:"))
    return 0


@contextmanager
def growth(server: Server) -> Iterator[list[int]]:
    """One number, known afterwards: by how many bytes the server grew at most, its processes' peaks added up.

    A bomb is refused in milliseconds: who looks now and then does not see what it took.
    """
    for pid in server.family():
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak begins anew
    before, most = server.memory(), [0]
    try:
        yield most
    finally:
        most[0] = max(0, sum(map(peak, server.family())) - before)


@contextmanager
def serving(place: Place, *options: str) -> Iterator[tuple[Server, bytes]]:
    """A server of the place's model that has answered once, and the picture it was asked about."""
    picture = find_pictures([str(place.pictures)])[0].read_bytes()
    more = shlex.split(os.environ.get("FOVEAL_TORTURE_SERVE", ""))
    command = [*FOVEAL, "serve", str(place.model), "--port", "0", *options, *more]
    server = Server(command, place.work / "log")
    try:
        answer = asyncio.run(ask(server.port, post(picture)))
        if answer.status != 200:
            raise RuntimeError(f"the server does not answer about a good picture: {answer}")
        yield server, picture
    finally:
        server.stop()
        print(server.log.read_text(), end="", flush=True)
