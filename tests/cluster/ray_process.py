"""``foveal predict --cluster`` as a process of its own, and what Linux knows of the processes below it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as /proc/net has them."""


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
    return [one for one in below(pid) if b"MapWorker" in _title(one)]


def listening(pids: list[int]) -> list[str]:
    """Addresses at which they listen, in hexadecimal."""
    sockets = set[str]()
    for pid in pids:
        try:
            sockets |= {os.readlink(entry) for entry in (Path("/proc") / str(pid) / "fd").iterdir()}
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                found.append(columns[1].rpartition(":")[0])
    return found


def _title(pid: int) -> bytes:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""
