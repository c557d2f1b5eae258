"""What .ci/run reads from texts: the README's commands, and why tests were skipped."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ALLOWED = re.compile(
    r"CUDA|gpu|video|browser|Chromium|MPS|Windows|macOS|compiler|tmpfs|mount|root", re.IGNORECASE
)
"""Reasons to skip a test that a machine without these things has."""


def commands(readme: str) -> list[str]:
    """Lines of all ```sh blocks, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def unexpected_skips(output: str) -> list[str]:
    """Lines of pytest's summary that tell of a skip for another reason."""
    allowed = ALLOWED.pattern
    if not (Path(__file__).resolve().parents[2] / "shared").is_dir():
        allowed += "|no real data"
    lines = [line for line in output.splitlines() if line.startswith("SKIPPED")]
    return [line for line in lines if not re.search(allowed, line, re.IGNORECASE)]


if __name__ == "__main__":
    text = Path(sys.argv[2]).read_text(encoding="utf-8")
    if sys.argv[1] == "commands":
        print("\n".join(commands(text)))
    elif skips := unexpected_skips(text):
        sys.exit("tests were skipped that should run:\n" + "\n".join(skips))
