"""Warnings of a run: who finds them is given from outside; here they are said once and written down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from foveal.files import append, write_text

HEALTH = "health.jsonl"
"""One JSON object a line: ``step, epoch, rule, severity, message, fix``. No file: nothing was found."""


class Remark(Protocol):
    """What a watcher says."""

    @property
    def rule(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def fix(self) -> str: ...


Watcher = Callable[[int, int, Mapping[str, float]], Sequence[Remark]]
"""(step, epoch, a row of metrics.csv) -> what there is to say of it.

It sees every row of a run once and in order, after a resume those before it too: what it says may depend on them,
and on nothing else. Values that are not numbers are left out.
"""


class HealthLog:
    """Hands rows to a watcher; what it says goes to the console and into ``health.jsonl``.

    Of a resumed run the lines past ``resume_step`` are dropped, and ``seen`` are the rows before it.
    """

    def __init__(
        self,
        run_folder: Path,
        watcher: Watcher | None,
        say: Callable[[str], None],
        writes: bool,
        resume_step: int = 0,
        seen: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self._file = run_folder / HEALTH
        self._watcher = watcher
        self._say = say
        self._writes = writes
        if writes and self._file.is_file():
            lines = self._file.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if 0 <= _step(line) <= resume_step] if resume_step else []
            write_text(self._file, "".join(f"{line}\n" for line in kept))
        for row in seen:
            self._ask(row)

    def row(self, step: int, epoch: int, values: Mapping[str, float | None]) -> None:
        """Show the watcher a row, and pass on what it says."""
        for remark in self._ask({"step": step, "epoch": epoch, **values}):
            self.note(step, epoch, remark.rule, remark.severity, remark.message, remark.fix)

    def note(self, step: int, epoch: int, rule: str, severity: str, message: str, fix: str = "") -> None:
        """Say and write down one thing."""
        self._say(f"{severity}: {message}" + (f"; {fix}" if fix else ""))
        if self._writes:
            names = ("step", "epoch", "rule", "severity", "message", "fix")
            parts = dict(zip(names, (step, epoch, rule, severity, message, fix), strict=True))
            append(self._file, f"{json.dumps(parts, ensure_ascii=False)}\n".encode())

    def _ask(self, row: Mapping[str, Any]) -> Sequence[Remark]:
        if self._watcher is None:
            return ()
        numbers = {
            name: float(value)
            for name, value in row.items()
            if name not in ("step", "epoch") and value is not None and math.isfinite(value)
        }
        return self._watcher(int(row["step"]), int(row["epoch"]), numbers)


def _step(line: str) -> int:
    """Step of a line; one that was cut off by a crash is of none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return -1
