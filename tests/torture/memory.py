"""What a process holds of the machine's memory."""

from __future__ import annotations

import re
from pathlib import Path


def resident() -> float:
    """Megabytes of this process, with what its libraries' code takes."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
