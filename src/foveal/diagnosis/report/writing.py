"""Run folders -> a page on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from foveal.diagnosis.report.blocks import Block, Heading, Note, Section, points
from foveal.diagnosis.report.gather import Run, gather
from foveal.diagnosis.report.measured import by_data
from foveal.diagnosis.report.page import GENERATOR, Headline, render
from foveal.diagnosis.report.plain import clean
from foveal.diagnosis.report.sections.anchors import anchors
from foveal.diagnosis.report.sections.classes import per_class
from foveal.diagnosis.report.sections.comparison import comparison
from foveal.diagnosis.report.sections.configuration import configuration
from foveal.diagnosis.report.sections.data import data
from foveal.diagnosis.report.sections.errors import errors
from foveal.diagnosis.report.sections.health import health
from foveal.diagnosis.report.sections.machine import machine
from foveal.diagnosis.report.sections.overview import overview
from foveal.diagnosis.report.sections.pictures import pictures
from foveal.diagnosis.report.sections.scores import scores
from foveal.diagnosis.report.sections.sizes import sizes
from foveal.diagnosis.report.sections.speed import speed
from foveal.diagnosis.report.sections.training import training
from foveal.diagnosis.report.splits import read_splits
from foveal.diagnosis.report.verdict import advice, key_figures, verdict
from foveal.files import free_name, write_text

PAGE = "report.html"
MOST_TITLE = 200


def write_report(run_folders: Sequence[Path], output: Path | None = None, title: str = "") -> Path:
    """Write one HTML file about one run or several, and return where.

    output: where to; a file that is there already stays, and a numbered name is taken. Default: ``report.html`` in
    the run's folder, where an older page of ours is replaced; for several runs in the working directory.
    UsageError where a folder is no run; DiskError where the page cannot be written. Whatever a run lacks is left
    out or said in a line.
    """
    runs = gather(run_folders)
    text = page_text(runs, title)
    path = free_name(output) if output is not None else default_path(runs)
    write_text(path, text)
    return path


def page_text(runs: Sequence[Run], title: str = "") -> str:
    """The page of gathered runs."""
    head = Headline(
        str(clean(title))[:MOST_TITLE] or _title(runs),
        verdict(runs),
        advice(runs),
        key_figures(runs),
        [run.name for run in runs],
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return render(head, list(_sections(runs)))


def default_path(runs: Sequence[Run]) -> Path:
    """Where a page goes that was given no place."""
    if len(runs) > 1:
        return free_name(Path(PAGE))
    path = runs[0].folder / PAGE
    return path if is_ours(path) else free_name(path)


def is_ours(path: Path) -> bool:
    """Whether a file is a page that ``foveal report`` wrote."""
    try:
        with path.open("rb") as stream:
            return f'<meta name="generator" content="{GENERATOR} '.encode() in stream.read(2000)
    except OSError:
        return False


def _sections(runs: Sequence[Run]) -> Iterable[Section]:
    splits = read_splits(runs)
    groups = by_data(runs)
    parts: list[tuple[str, Callable[[], Section | None]]] = [
        ("Comparison", lambda: comparison(runs)),
        ("Results", lambda: _each(overview, groups)),
        ("Health", lambda: health(runs)),
        ("Training", lambda: _each(training, groups)),
        ("Classes", lambda: _each(per_class, groups)),
        ("Errors", lambda: _each(errors, groups)),
        ("Scores", lambda: _each(scores, groups)),
        ("Sizes", lambda: _each(sizes, groups)),
        ("Galleries", lambda: pictures(runs)),
        ("Data", lambda: data(runs, splits)),
        ("Anchors", lambda: anchors(runs, splits)),
        ("Speed and size", lambda: speed(runs)),
        ("Configuration", lambda: configuration(runs)),
        ("Environment", lambda: machine(runs)),
    ]
    for name, make in parts:
        section = _guarded(name, make, runs[0])
        if section is not None:
            yield section


def _each(make: Callable[[Sequence[Run]], Section | None], groups: Sequence[Sequence[Run]]) -> Section | None:
    """A section in which runs of different data do not share a frame: each group under its own heading."""
    parts = [(group, section) for group in groups if (section := make(group)) is not None]
    if len(groups) == 1 or not parts:
        return parts[0][1] if parts else None
    blocks: list[Block] = []
    for group, section in parts:
        names = ", ".join(run.name for run in group)
        blocks += [Heading(names, group[0].place if len(group) == 1 else None), *section.blocks]
    return parts[0][1]._replace(blocks=blocks)


def _guarded(name: str, make: Callable[[], Section | None], run: Run) -> Section | None:
    """A file of another version may hold what no one thought of: that costs its section, never the page."""
    try:
        return make()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        words = f"This part could not be made ({type(error).__name__}: {first})."
        return Section(name.lower().replace(" ", "-"), name, "", [Note(run.plain(words), "warning")])


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        names = ", ".join(run.name for run in runs)
        return names if len(names) <= 80 else f"{len(runs)} runs"
    score = runs[0].metric("AP")
    return runs[0].name + ("" if score is None else f": AP {points(score)}")
