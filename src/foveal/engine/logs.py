"""metrics.csv and TensorBoard: the numbers of a run, by optimiser step."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from foveal.files import write_text

Values = Mapping[str, float | int | None]

METRICS = "metrics.csv"
TENSORBOARD = "tensorboard"
KEYS = ("step", "epoch")


class MetricsCsv:
    """One row per call; a column for every name seen so far, empty where a row does not have it.

    Of a resumed run the rows past ``resume_step`` are dropped: they are about to be written again.
    """

    def __init__(self, run_folder: Path, resume_step: int = 0) -> None:
        self._file = run_folder / METRICS
        self._columns: list[str] = []
        rows: list[dict[str, str]] = []
        self.kept: list[dict[str, float]] = []
        """Numbers of the rows that a resumed run has already."""
        if self._file.is_file():
            if resume_step:
                with self._file.open(newline="", encoding="utf-8") as stream:
                    reader = csv.DictReader(stream)
                    self._columns = list(reader.fieldnames or [])
                    rows = [row for row in reader if _step(row) <= resume_step]
                    self.kept = [_numbers(row) for row in rows]
            self._rewrite(rows)

    def write(self, step: int, epoch: int, values: Values) -> None:
        """Append one row."""
        row = {"step": step, "epoch": epoch, **values}
        new = [name for name in row if name not in self._columns]
        if new:
            rows: list[dict[str, str]] = []
            if self._columns:
                with self._file.open(newline="", encoding="utf-8") as stream:
                    rows = list(csv.DictReader(stream))
            self._columns += new
            self._rewrite(rows)
        with self._file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self._columns).writerow(
                {name: _text(value) for name, value in row.items()}
            )

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in self._columns} for row in rows)
        write_text(self._file, text.getvalue())


def _step(row: Mapping[str, str | None]) -> int:
    """Step of a row; a row cut off by a crash counts as past every step."""
    try:
        return int(row["step"] or "")
    except (KeyError, ValueError):
        return 2**62


def _numbers(row: Mapping[str, str | None]) -> dict[str, float]:
    """What a row says, without its empty places."""
    found = {}
    for name, text in row.items():
        try:
            found[name] = float(text or "")
        except (TypeError, ValueError):
            continue
    return found


def _text(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class TensorBoard:
    """The same numbers as curves, under ``tensorboard/``."""

    def __init__(self, run_folder: Path, resume_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only a run needs it

        self._writer = SummaryWriter(
            str(run_folder / TENSORBOARD), purge_step=resume_step + 1 if resume_step else None, flush_secs=20
        )

    def write(self, group: str, step: int, values: Values) -> None:
        """Add a point to the curve ``group/name`` of each value."""
        for name, value in values.items():
            if value is not None and name not in KEYS:
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def flush(self) -> None:
        """Bring what was added to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and stop the writer."""
        self._writer.close()
