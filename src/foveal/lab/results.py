"""What the lab has measured so far: a file of one JSON object a line, to which every finished run adds its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foveal.errors import UsageError
from foveal.files import write_text

RESULTS = "results.jsonl"


class Run(NamedTuple):
    """One setting trained with one seed."""

    setting: str
    seed: int
    AP: float | None
    """COCO's AP on the validation pictures, 0 to 1; None where training diverged."""
    AP50: float | None
    diverged: bool
    note: str
    """Why training stopped, where it diverged."""
    seconds: float
    """Wall time of training and evaluation."""
    experiment: str
    """``fingerprint`` of what was trained."""
    folder: str
    """Run folder, from the lab's."""


class Results:
    """The runs in a lab's folder. UsageError where the folder holds other things, or the file something else."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / RESULTS
        if not self.file.exists() and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
            raise UsageError(
                f"{folder}: not empty, and no folder of foveal lab (it has no {RESULTS}); "
                "name a new one with -o"
            )
        self.runs = self._read_all()

    def claim(self) -> None:
        """Mark the folder as a lab's, so that one that is stopped in its first run can go on."""
        if not self.file.exists():
            write_text(self.file, "")

    def _read_all(self) -> list[Run]:
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        return [self._read(number, line) for number, line in enumerate(lines, start=1)]

    def _read(self, number: int, line: str) -> Run:
        try:
            return Run(**json.loads(line))
        except (ValueError, TypeError):
            raise UsageError(
                f"{self.file}:{number}: not a result of foveal lab; mend the line, or name a new folder with -o"
            ) from None

    def find(self, setting: str, seed: int, experiment: str) -> Run | None:
        """The run of a setting and seed. UsageError where it was made with another configuration."""
        for run in self.runs:
            if (run.setting, run.seed) == (setting, seed):
                if run.experiment != experiment:
                    raise UsageError(
                        f"{self.file}: {setting} with seed {seed} was trained with another configuration or "
                        "number of steps; give the same ones, or name a new folder with -o"
                    )
                return run
        return None

    def add(self, run: Run) -> None:
        """Keep a run: the file is written whole, with what it holds; of two runs of one seed, the first."""
        self.runs = self._read_all()  # another lab may work on other settings in the same folder
        if not any((one.setting, one.seed) == (run.setting, run.seed) for one in self.runs):
            self.runs.append(run)
        write_text(self.file, "".join(json.dumps(one._asdict()) + "\n" for one in self.runs))


def fingerprint(base: str, changes: Sequence[str]) -> str:
    """Short hash of a base configuration's text and the changes to it."""
    return hashlib.sha256("\n".join([base, *changes]).encode()).hexdigest()[:12]
