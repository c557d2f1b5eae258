"""``foveal doctor``: what is wrong with pictures and labels, and a corrected copy on request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from foveal.build import build_tiling
from foveal.config.load import data_of
from foveal.config.schema import CsvSource, VocSource, YoloSource
from foveal.data.records import Records
from foveal.diagnosis.anchors.check import AnchorCheck, as_trained, check_anchors
from foveal.diagnosis.anchors.figures import section_lines
from foveal.diagnosis.anchors.findings import anchor_findings
from foveal.diagnosis.anchors.picture import draw_worst
from foveal.diagnosis.doctor.check import check
from foveal.diagnosis.doctor.copying import LOG, is_taken, write_copy
from foveal.diagnosis.doctor.leakage import same_files
from foveal.diagnosis.doctor.looking import How, Look, look_at
from foveal.diagnosis.doctor.mending import Change, mend, understood
from foveal.diagnosis.doctor.page import write_page
from foveal.diagnosis.doctor.part import Part, folder_of
from foveal.diagnosis.doctor.reading import Case, read_case
from foveal.diagnosis.doctor.report import Report
from foveal.diagnosis.doctor.rulebook import RULES
from foveal.diagnosis.doctor.tables import write_csv, write_json
from foveal.diagnosis.doctor.terminal import show
from foveal.diagnosis.doctor.thumbnails import thumbnails
from foveal.errors import UsageError
from foveal.files import free_name, write_bytes
from foveal.grammar import many
from foveal.ops.letterbox import canvas_size

WORKERS = min(8, os.cpu_count() or 1)


class Diagnosis:
    """What was found, and what was looked at."""

    def __init__(
        self,
        case: Case,
        report: Report,
        looked: list[list[Look] | None],
        anchors: tuple[AnchorCheck, Records] | None,
    ) -> None:
        self.case = case
        self.report = report
        self.looked = looked
        self.anchors = anchors
        """Of the training part as training sees it, where there is a configuration and a box to reach."""

    def anchor_sheet(self) -> Image.Image | None:
        """The boxes that the anchors serve worst, drawn."""
        return None if self.anchors is None else draw_worst(*self.anchors)


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
    anchor_picture: Path | None = None,
) -> Report:
    """Examine a folder, a label file or a configuration's data, and print what is wrong.

    pictures: whether the pixels of all pictures, of a sample or of none are decoded. fix: new folder for a
    corrected copy, as COCO; merges: ``OLD=NEW`` class names, with it. strict: what the caller makes of warnings;
    here it changes the last line alone. overrides: ``key.sub=value``, of a configuration. anchor_picture: PNG of
    the boxes that its anchors serve worst. The source is never written to, and a file or folder that is
    there stays: a numbered one is written beside it.
    """
    console, bars = Console(quiet=quiet, highlight=False), Console(stderr=True, quiet=quiet)
    source, renames = source.expanduser(), _renames(merges)
    outputs = {
        "--json": json_file,
        "--csv": csv_file,
        "--html": html_file,
        "--anchor-picture": anchor_picture,
    }
    for option, file in outputs.items():
        if file is not None and file.is_dir():
            raise UsageError(f"{option} {file}: is a folder; give the name of the file to write")
    if fix is not None:
        fix = _free_folder(fix, source)
    elif renames:
        raise UsageError("--merge-classes goes with --fix OUT")
    found = examine(source, pictures, bars, overrides)
    if anchor_picture is not None and found.anchors is None:
        raise UsageError(
            f"--anchor-picture {anchor_picture}: {source} has no anchors or no box; give a configuration"
        )
    root = source.absolute() if source.is_dir() else folder_of(found.case.parts)
    show(found.report, console, root)
    for option, wanted in outputs.items():
        if wanted is not None:
            file = free_name(wanted)
            _write(option, file, found, root)
            console.print(f"wrote {file}", markup=False, soft_wrap=True)
    if fix is not None:
        changes = write_fixed(found, fix, renames, bars)
        text = f"wrote {fix}: a copy {_format(found.case.parts)}, with {many(len(changes), 'change')}, "
        text += f"each in {fix / LOG}{_left(found.report)}; next: foveal doctor {fix}"
        console.print(text, markup=False, soft_wrap=True)
    else:
        console.print(_next(found, source, strict), markup=False, soft_wrap=True)
    return found.report


def _write(option: str, path: Path, found: Diagnosis, root: Path) -> None:
    """One of the files that a report can be."""
    if option == "--json":
        write_json(found.report, path)
    elif option == "--csv":
        write_csv(found.report, path)
    elif option == "--html":
        shown = thumbnails(found.report.hits, found.case.parts)
        write_page(found.report, shown, path, root, found.anchor_sheet())
    else:
        buffer, sheet = BytesIO(), found.anchor_sheet()
        assert sheet is not None
        sheet.save(buffer, format="png")
        write_bytes(path, buffer.getvalue())


def _format(parts: Sequence[Part]) -> str:
    """What the labels of the copy are, and what they were."""
    formats = sorted({part.source.format.upper() for part in parts if part.source is not None} - {"COCO"})
    was = f", not as {' or '.join(formats)} as the data's labels are" if formats else ""
    return f"as COCO JSON{was}"


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
        anchors = _anchors(case)
        section = (section_lines(*anchors), anchor_findings(*anchors)) if anchors else ((), ())
        report = check(case.parts, looked, canvas, section, str(source), _tile(case), case.notes)
    return Diagnosis(case, report, looked, anchors)


def _tile(case: Case) -> tuple[int, int] | None:
    tiling = None if case.config is None else build_tiling(data_of(case.config).tiles)
    return None if tiling is None else (tiling.height, tiling.width)


def _anchors(case: Case) -> tuple[AnchorCheck, Records] | None:
    """What the configuration's anchors reach of its training boxes; None for data alone, or without a box."""
    if case.config is None or not (~_trained(case).crowd).any():
        return None
    return check_anchors(_trained(case), case.config), as_trained(_trained(case), case.config)


def _trained(case: Case) -> Records:
    return next(part.records for part in case.parts if part.name == "train")


def write_fixed(
    found: Diagnosis, folder: Path, merges: Mapping[str, str], bars: Console | None = None
) -> list[Change]:
    """The corrected copy in a new folder; what was changed."""
    changes = [
        Change("format", part.name, part.source.annotations, part.source.format, "coco")
        for part in found.case.parts
        if isinstance(part.source, VocSource | YoloSource | CsvSource)
    ]
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


def _free_folder(folder: Path, source: Path) -> Path:
    """The folder, or a numbered one beside it where something is in it; UsageError inside the data."""
    folder = free_name(folder, is_taken)
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"--fix {folder}: lies in the data's own folder, which is never written to; name another"
        )
    return folder


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


def _left(report: Report) -> str:
    """What ``--fix`` leaves to a person, of the errors."""
    rules = {found.rule for found in report.findings if found.severity == "error"}
    left = sorted(rule for rule in rules if not RULES[rule].mends)
    return f"; errors that only you can mend: {', '.join(left)}" if left else ""


def _next(found: Diagnosis, source: Path, strict: bool) -> str:
    report = found.report
    counts = report.counts()
    told = ", ".join(many(count, name) for name, count in counts.items())
    if failed(report, strict) and any(RULES[one.rule].mends for one in report.findings):
        return f"{told}; next: mend what is named, or see what --fix OUT writes: foveal doctor {source} --fix OUT"
    if failed(report, strict):
        return f"{told}; next: mend what is named, which --fix cannot"
    if found.case.config is not None:
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
