"""The findings as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from foveal.data.csv_cell import cell
from foveal.diagnosis.doctor.report import Report
from foveal.diagnosis.finding import Finding
from foveal.files import write_text


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A CSV file, whole or not at all."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    write_text(path, stream.getvalue().encode(errors="replace").decode())


def write_csv(report: Report, path: Path) -> None:
    """A row per finding: rule, severity, where, message, fix."""
    write_rows(path, Finding._fields, report.findings)


def write_json(report: Report, path: Path) -> None:
    """Counts, the figures of every part, and every finding."""
    content = {
        "data": report.title,
        "counts": report.counts(),
        "parts": [part._asdict() for part in report.parts],
        "anchors": report.anchors,
        "findings": [found._asdict() for found in report.findings],
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
