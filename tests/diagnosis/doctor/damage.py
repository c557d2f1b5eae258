"""What a damage must be called, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.diagnosis.doctor.sets import Content

from foveal.diagnosis.doctor.report import Report
from foveal.verbs.doctor import Diagnosis, examine, write_fixed


class Damage(NamedTuple):
    """What is done to train's labels, which rule must tell of it, and where."""

    do: Callable[[Content, Path], None]
    rule: str
    where: str = ""
    """In the place or the message of one of the findings."""
    fixed: bool = True
    """Whether the copy that --fix writes is free of errors."""


def told(report: Report, damage: Damage) -> list[str]:
    """What the report says of a damage under its rule, at its place."""
    texts = [f"{f.where}: {f.message}" for f in report.findings if f.rule == damage.rule]
    return [text for text in texts if damage.where in text]


def grave(report: Report) -> Iterator[str]:
    """Errors and warnings."""
    for found in report.findings:
        if found.severity != "note":
            yield f"{found.rule}: {found.where}: {found.message}"


def check_copy(found: Diagnosis, copy: Path, damage: Damage) -> None:
    """The copy that --fix writes has no error and a log."""
    write_fixed(found, copy, {})
    again = examine(copy)
    errors = [f"{f.rule}: {f.where}: {f.message}" for f in again.report.findings if f.severity == "error"]
    if damage.fixed:
        assert errors == []
    assert (copy / "fixes.csv").is_file()
