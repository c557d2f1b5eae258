"""The galleries of a run: what a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveal.diagnosis.report.blocks import (
    MISSING,
    Block,
    Column,
    Fold,
    Heading,
    Note,
    Pictures,
    Row,
    Section,
    Table,
)
from foveal.diagnosis.report.embedding import BUDGET, Embedder, picture_files
from foveal.diagnosis.report.gather import Run, at, number, read_json, rows
from foveal.diagnosis.report.plain import clean

FOLDER = "galleries"
ROWS_FILE = "galleries.json"
LEAD = (
    "The places to look at first: objects that were missed, confident mistakes, and labels that may be wrong."
)
MOST_ROWS = 100


def pictures(runs: Sequence[Run]) -> Section | None:
    """Every sheet of every run, its rows on demand; None where no run has one."""
    if not any((run.folder / FOLDER).is_dir() for run in runs):
        return None
    blocks: list[Block] = []
    for place, run in enumerate(runs):
        if not (run.folder / FOLDER).is_dir():
            continue
        embedder = Embedder(BUDGET // len(runs))
        found = _of_run(run, embedder)
        if len(runs) > 1 and found:
            blocks.append(Heading(run.name, place))
        blocks += found
        if embedder.refused:
            words = (
                f"{embedder.refused} more pictures did not fit into the page; they are in the run's {FOLDER}."
            )
            blocks.append(Note(words))
    return Section("galleries", "Galleries", LEAD, blocks) if blocks else None


def _of_run(run: Run, embedder: Embedder) -> list[Block]:
    blocks: list[Block] = []
    for file, row in _sheets(run):
        title = run.plain(row.get("title") or str(clean(file.stem)).replace("_", " "))
        words = f"Crops drawn with their label and detection: {title}" if row else title
        picture = embedder.picture(file, words)
        if picture is not None:
            blocks.append(Pictures(title, [picture]))
        if entries := rows(row.get("rows")):
            blocks.append(Fold("These places as a table", [_table(run, entries)]))
    return blocks


def _sheets(run: Run) -> list[tuple[Path, dict[str, Any]]]:
    """Each picture with what is known of it: those that are listed first, in their order, then the others.

    A list may name any file: only pictures that are really in the run's folder are taken.
    """
    folder = run.folder / FOLDER
    files = {file.resolve(): file for file in picture_files(folder)}
    named = [(run.folder, row) for row in rows(run.evaluation.get("galleries"))]
    named = named or [(folder, row) for row in rows(read_json(folder / ROWS_FILE))]
    listed: dict[Path, dict[str, Any]] = {}
    for start, row in named:
        path = (start / str(row.get("file"))).resolve()
        if path in files:
            listed.setdefault(path, row)
    return [(files[path], row) for path, row in listed.items()] + [
        (file, {}) for path, file in files.items() if path not in listed
    ]


def _table(run: Run, entries: Sequence[dict[str, Any]]) -> Table:
    lines: list[Row] = [
        [
            run.plain(entry.get("file", MISSING)),
            _class(at(entry, "label", "class")),
            _class(at(entry, "detection", "class"), number(at(entry, "detection", "score"))),
            run.plain(entry.get("why", "")),
        ]
        for entry in entries[:MOST_ROWS]
    ]
    columns = [Column(name, numeric=False) for name in ("picture", "label", "detection", "why")]
    return Table(columns, lines)


def _class(name: object, score: float | None = None) -> str:
    if not isinstance(name, str):
        return MISSING
    return name if score is None else f"{name} {score:.2f}"
