"""``foveal doctor``: what is wrong with pictures and labels, and a corrected copy on request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from foveal.config.load import data_of
from foveal.diagnosis.anchor_findings import anchor_section
from foveal.diagnosis.doctor.check import AnchorSection, check
from foveal.diagnosis.doctor.copying import LOG, check_free, write_copy
from foveal.diagnosis.doctor.leakage import same_files
from foveal.diagnosis.doctor.looking import How, Look, look_at
from foveal.diagnosis.doctor.mending import Change, mend, understood
from foveal.diagnosis.doctor.page import write_page
from foveal.diagnosis.doctor.part import Part, folder_of
from foveal.diagnosis.doctor.reading import Case, read_case
from foveal.diagnosis.doctor.report import Report
from foveal.diagnosis.doctor.tables import write_csv, write_json
from foveal.diagnosis.doctor.terminal import show
from foveal.diagnosis.doctor.thumbnails import thumbnails
from foveal.errors import UsageError
from foveal.ops.letterbox import canvas_size

WORKERS = min(8, os.cpu_count() or 1)


class Diagnosis:
    """What was found, and what was looked at."""

    def __init__(self, case: Case, report: Report, looked: list[list[Look] | None]) -> None:
        self.case = case
        self.report = report
        self.looked = looked


def doctor(
    source: Path,
    json_file: Path | None = None,
    csv_file: Path | None = None,
    html_file: Path | None = None,
    fix: Path | None = None,
    merges: Sequence[str] = (),
    pictures: How = "all",
    strict: bool = False,
    quiet: bool = False,
    overrides: Sequence[str] = (),
) -> Report:
    """Examine a folder, a label file or a configuration's data, and print what is wrong.

    pictures: whether the pixels of all pictures, of a sample or of none are decoded. fix: new folder for a
    corrected copy; merges: ``OLD=NEW`` class names, with it. strict: what the caller makes of warnings; here it
    changes the last line alone. overrides: ``key.sub=value``, of a configuration. The source is never written to.
    """
    console, bars = Console(quiet=quiet, highlight=False), Console(stderr=True, quiet=quiet)
    renames = _renames(merges)
    if fix is not None:
        _check_target(fix, source)
    elif renames:
        raise UsageError("--merge-classes goes with --fix OUT")
    found = examine(source, pictures, bars, overrides)
    root = source.expanduser().absolute() if source.is_dir() else folder_of(found.case.parts)
    show(found.report, console, root)
    if json_file is not None:
        write_json(found.report, json_file)
    if csv_file is not None:
        write_csv(found.report, csv_file)
    if html_file is not None:
        write_page(found.report, thumbnails(found.report.hits, found.case.parts), html_file, root)
    written = [str(file) for file in (json_file, csv_file, html_file) if file is not None]
    if written:
        console.print(f"written: {', '.join(written)}", markup=False, soft_wrap=True)
    if fix is not None:
        changes = write_fixed(found, fix, renames, bars)
        text = f"{len(changes)} changes, in a copy: {fix}; each is in {fix / LOG}; next: foveal doctor {fix}"
        console.print(text, markup=False, soft_wrap=True)
    else:
        console.print(_next(found.report, source, strict), markup=False, soft_wrap=True)
    return found.report


def failed(report: Report, strict: bool) -> bool:
    """Whether a check in CI should fail: on errors, and on warnings when strict."""
    counts = report.counts()
    return counts["error"] > 0 or (strict and counts["warning"] > 0)


def examine(
    source: Path, pictures: How = "all", bars: Console | None = None, overrides: Sequence[str] = ()
) -> Diagnosis:
    """Read, look at the pictures, and apply every rule."""
    bars = bars or Console(quiet=True)
    with bars.status("reading labels") if bars.is_terminal else _Nothing():
        case = read_case(source.expanduser(), overrides)
    total = sum(len(part.records) for part in case.parts)
    with _bar(bars) as progress:
        task = progress.add_task(f"looking at {total} pictures", total=total)
        looked = [look_at(part, pictures, WORKERS, lambda: progress.advance(task)) for part in case.parts]
    with bars.status("applying rules") if bars.is_terminal else _Nothing():
        canvas = None if case.config is None else canvas_size(*data_of(case.config).image_size)
        report = check(case.parts, looked, canvas, _anchors(case), str(source))
    return Diagnosis(case, report, looked)


def _anchors(case: Case) -> AnchorSection:
    """What the configuration's anchors reach of its training boxes; a data set alone has none."""
    if case.config is None:
        return (), ()
    train = next(part for part in case.parts if part.name == "train")
    return anchor_section(train.records, case.config) if len(train.records) else ((), ())


def write_fixed(
    found: Diagnosis, folder: Path, merges: Mapping[str, str], bars: Console | None = None
) -> list[Change]:
    """The corrected copy in a new folder; what was changed."""
    changes: list[Change] = []
    parts: list[Part] = [understood(part, found.case.classes, changes) for part in found.case.parts]
    looked = found.looked
    if any(len(new.records) != len(old.records) for new, old in zip(parts, found.case.parts, strict=True)):
        looked = [look_at(part, "all", WORKERS, lambda: None) for part in parts]
    mended = mend(parts, looked, same_files(parts), merges, changes)
    total = sum(len(part.names) for part in mended)
    with _bar(bars or Console(quiet=True)) as progress:
        task = progress.add_task(f"copying {total} pictures", total=total)
        write_copy(folder, mended, changes, lambda: progress.advance(task))
    return changes


def _check_target(folder: Path, source: Path) -> None:
    check_free(folder)
    inside = source if source.is_dir() else source.parent
    if folder.absolute().resolve() == inside.absolute().resolve():
        raise UsageError(f"--fix {folder}: is the data's own folder; name a new one")


def _renames(merges: Sequence[str]) -> dict[str, str]:
    renames = {}
    for text in merges:
        old, sign, new = text.rpartition("=")  # an old name may be anything
        if not sign or not old.strip() or not new.strip() or old.strip() == new.strip():
            raise UsageError(f"--merge-classes {text!r}: write OLD=NEW, two class names")
        renames[old.strip()] = new.strip()
    chained = [new for new in renames.values() if new in renames]
    if chained:
        raise UsageError(f"--merge-classes: {chained[0]!r} is renamed itself; name the last one for both")
    return renames


def _next(report: Report, source: Path, strict: bool) -> str:
    counts = report.counts()
    told = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    if failed(report, strict):
        return f"{told}; next: mend what is named, or see what --fix OUT writes: foveal doctor {source} --fix OUT"
    if source.suffix.lower() in (".yaml", ".yml"):
        return f"{told}; next: foveal train {source}"
    return f"{told}; next: foveal init {source}"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )


class _Nothing:
    """In the place of a spinner where there is no terminal."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
