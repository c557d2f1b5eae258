"""``foveal bench``: Foveal beside torchvision, pycocotools and PIL on this machine, and how its work grows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console

from foveal.bench import growth_report, table
from foveal.bench.case import Absent, Setup
from foveal.bench.growth import Series
from foveal.bench.growth import measure as measure_growth
from foveal.bench.growth_subjects import subjects
from foveal.bench.machine import Floors, describe, measure_floors
from foveal.bench.measure import Result, measure
from foveal.bench.rows import ROWS
from foveal.errors import UsageError
from foveal.files import write_bytes, write_text


def bench(
    rows: Sequence[str] = (),
    rounds: int | None = None,
    device: str = "cpu",
    quick: bool = False,
    checkpoint: Path | None = None,
    data: Path | None = None,
    markdown: Path | None = None,
    to_json: Path | None = None,
    quiet: bool = False,
) -> list[Result | Absent]:
    """Measure rows of the table, print it, and write it where asked; nothing is asserted of the figures.

    rows: names, see ``names()``; none: all. rounds: of both sides; default: each case's own. quick: small forms,
    to see that they run. checkpoint, data: a trained model, and labelled pictures other than its
    validation set, for the rows that need a model. markdown, to_json: files to write.
    UsageError: unknown row, no such device.
    """
    chosen = choose(rows)
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: the bench knows cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: there is no CUDA device here; use --device cpu")
    setup = Setup(device, quick, checkpoint, data)
    console = Console(quiet=quiet, highlight=False)
    machine = describe(device)
    _tell(console, machine)
    floors = measure_floors() if device == "cuda" else None
    if floors is not None:
        machine += f"; floors {floors}"
        _tell(console, f"floors {floors}")
    results = [result for row in chosen for result in _run(row, setup, rounds, floors, console)]
    console.print(table.terminal(results))
    note = table.notes(device)
    _tell(console, note)
    if markdown is not None:
        write_text(markdown, f"{table.markdown(results)}\n{note}\n\n{machine}\n")
    if to_json is not None:
        lines = [table.as_dict(result, floors) for result in results]
        write_text(
            to_json, json.dumps({"machine": machine, "device": device, "rows": lines}, indent=1) + "\n"
        )
    return results


def growth(folder: Path, quick: bool = False, quiet: bool = False) -> list[Series]:
    """Measure time and memory against the size of the work; keeps ``growth.png`` and ``growth.md`` in a folder.

    Both are written anew with every size, so that an interrupted run leaves what it has measured. quick: the
    small sizes alone; the whole takes a quarter of an hour, and some gigabytes for a million pictures.
    """
    console = Console(quiet=quiet, highlight=False)
    machine = describe("cpu")
    _tell(console, machine)
    series: dict[str, Series] = {}
    text = ""
    with TemporaryDirectory() as files:
        for one in measure_growth(subjects(Path(files), quick), partial(_tell, console)):
            series[one.name] = one
            found = list(series.values())
            text = f"{growth_report.markdown(found)}\n{growth_report.NOTE}\n\n{machine}\n"
            write_text(folder / "growth.md", f"{growth_report.HEADING}\n{text}")
            write_bytes(folder / "growth.png", growth_report.draw(found))
    _tell(console, f"\n{text}\nwrote {folder / 'growth.md'} and {folder / 'growth.png'}")
    return list(series.values())


def names() -> list[str]:
    """The rows there are, in the table's order."""
    return list(ROWS)


def choose(rows: Sequence[str]) -> list[str]:
    """The rows asked for, or all; UsageError with the nearest name for one that is not there."""
    for row in rows:
        if row not in ROWS:
            near = difflib.get_close_matches(row, ROWS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ROWS)}"
            if row == "growth":
                hint = "it goes alone: foveal bench growth -o FOLDER"
            raise UsageError(f"bench: no row {row!r}; {hint}")
    return list(rows) or names()


def _run(
    row: str, setup: Setup, rounds: int | None, floors: Floors | None, console: Console
) -> Iterator[Result | Absent]:
    """The row's results, each told as it comes."""
    for case in ROWS[row](setup):
        if isinstance(case, Absent):
            _tell(console, f"{row}: {case.name}: not measured: {case.reason}")
            yield case
            continue
        _tell(console, f"{row}: {case.name} against {case.baseline_name} ...")
        result = measure(row, case, setup, rounds)
        _tell(console, f"  {table.line(result, floors)}")
        yield result


def _tell(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
