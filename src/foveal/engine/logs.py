"""metrics.csv and TensorBoard: the numbers of a run, by optimiser step."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveal.files import append, write_text

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
        text = io.StringIO(newline="")
        csv.DictWriter(text, self._columns).writerow({name: _text(value) for name, value in row.items()})
        append(self._file, text.getvalue().encode())

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
    """The same numbers as curves, under ``tensorboard/``; each point is in the file as soon as it is written.

    Not by way of torch's writer: its thread prints a traceback where the disk is full, and a kill takes the points
    of the last seconds.
    """

    def __init__(self, run_folder: Path, resume_step: int = 0) -> None:
        # Slow to import, and only a run needs it.
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event = event_pb2.Event
        self._summary = summary_pb2.Summary
        self._file = run_folder / TENSORBOARD / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}"
        self._add(file_version="brain.Event:2")
        if resume_step:
            # What an earlier process drew past this step is not shown.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(step=resume_step + 1, session_log=start)

    def write(self, group: str, step: int, values: Values) -> None:
        """Add a point to the curve ``group/name`` of each value."""
        points = [
            self._summary.Value(tag=f"{group}/{name}", simple_value=value)
            for name, value in values.items()
            if value is not None and name not in KEYS
        ]
        if points:
            self._add(step=step, summary=self._summary(value=points))

    def _add(self, **parts: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(self._event(wall_time=time.time(), **parts).SerializeToString())
        append(self._file, record.getvalue())
