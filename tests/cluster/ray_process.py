"""``foveal predict --cluster`` as a process of its own, and what Linux knows of the processes below it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as /proc/net has them."""
LISTENING = "0A"
"""State of a socket there."""


def start(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """``foveal predict`` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-m", "foveal", "predict", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONWARNINGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows that are whole by now."""
    journal = folder / "detections.jsonl"
    text = journal.read_text() if journal.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def below(pid: int) -> list[int]:
    """A process and all that it started."""
    found, parents = [pid], dict[int, int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
    for one in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == one]
    return found


def workers_of(pid: int) -> list[int]:
    """Those of them that detect."""
    return [one for one in below(pid) if b"MapWorker" in title(one)]


def is_dashboard(pid: int) -> bool:
    """Whether it is the dashboard's process, and does not only name it in an option."""
    return any(part.endswith(b"dashboard/dashboard.py") for part in title(pid).split(b"\0")[:4])


def listening(pids: list[int]) -> list[str]:
    """Addresses at which they listen, in hexadecimal."""
    return [columns[1].rpartition(":")[0] for columns in _sockets(pids) if columns[3] == LISTENING]


def connected(pids: list[int]) -> list[str]:
    """Addresses at the other end of what they have opened, in hexadecimal."""
    return [columns[2].rpartition(":")[0] for columns in _sockets(pids) if columns[3] != LISTENING]


def title(pid: int) -> bytes:
    """Command line of a process, or what it calls itself; empty where it has ended."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def environment_of(pid: int) -> dict[str, str]:
    """Variables that a process was started with."""
    try:
        content = (Path("/proc") / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.split("\0"))
    return {name: value for name, _, value in pairs}


def _sockets(pids: list[int]) -> Iterator[list[str]]:
    """Rows of the kernel's tables of TCP sockets that belong to these processes."""
    sockets = set[str]()
    for pid in pids:
        try:
            for entry in (Path("/proc") / str(pid) / "fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    sockets.add(os.readlink(entry))
        except OSError:
            continue
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            columns = line.split()
            if f"socket:[{columns[9]}]" in sockets:
                yield columns
