"""``foveal report``: one offline HTML file about one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foveal.diagnosis.report.writing import write_report


def report(runs: Sequence[Path], output: Path | None = None, title: str = "", quiet: bool = False) -> Path:
    """Write the page, and say where it is.

    runs: run folders. output: HTML file (a numbered one where that file is there); default: ``report.html`` in the
    run's folder, for several runs in the working directory. UsageError where a folder is no run.
    """
    path = write_report(runs, output, title)
    size = path.stat().st_size / 1e6
    Console(quiet=quiet).print(f"report: {path} ({size:.1f} MB)", soft_wrap=True, markup=False)
    return path


def report_after_training(folder: Path, console: Console) -> None:
    """``report.html`` of a run that has just ended. Whatever goes wrong is said in a line: the run is done."""
    try:
        path = write_report([folder])
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        console.print(f"no report: {first}; try foveal report {folder}", soft_wrap=True, markup=False)
        return
    console.print(f"report: {path}", soft_wrap=True, markup=False)
