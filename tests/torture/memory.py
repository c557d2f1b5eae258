"""What a process holds of the machine's memory."""

from __future__ import annotations

import re
from pathlib import Path


def resident() -> float:
    """Megabytes of this process, with what its libraries' code takes."""
    return _status("VmRSS")


def most_resident() -> float:
    """The most there ever were; ``ru_maxrss`` may be that of the process that started this one."""
    return _status("VmHWM")


def _status(field: str) -> float:
    return int(re.findall(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
