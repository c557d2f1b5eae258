"""What every row of the torture is given, and what it answers with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOVEAL = (sys.executable, "-m", "foveal")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "120"}
"""For commands that are started: one thread each, plain lines."""


class Place(NamedTuple):
    """Where a row works, and with what."""

    work: Path
    """An empty folder of its own, gone afterwards."""
    model: Path
    """A trained checkpoint of Foveal, for the rows that detect."""
    pictures: Path
    """A folder of pictures that the model can find something in."""
    seed: int


class Verdict(NamedTuple):
    """What a row has found."""

    kept: bool
    found: str
    """The figures, as they stand in the table: one line."""


def error_lines(text: str) -> list[str]:
    """What a command has said as an error; a warning is none."""
    lines = [line for line in text.splitlines() if line.startswith("foveal: ")]
    return [line for line in lines if not line.startswith("foveal: warning: ")]
