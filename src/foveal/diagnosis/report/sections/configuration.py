"""The settings of each run."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import (
    MISSING,
    Block,
    Cell,
    Code,
    Column,
    Fold,
    Note,
    Row,
    Section,
    Table,
    Text,
)
from foveal.diagnosis.report.gather import CONFIG, Run
from foveal.diagnosis.report.settings import changed_keys, differences, flat, in_words, listing

LEAD = "Every setting, resolved."


def configuration(runs: Sequence[Run]) -> Section:
    """Changed settings of one run at once, the whole file of each on demand."""
    blocks: list[Block] = []
    if len(runs) == 1 and runs[0].config:
        blocks += _changes(runs[0])
    for run in runs:
        if run.config:
            title = "The whole configuration" + (f" of {run.name}" if len(runs) > 1 else "")
            marked = "Marked: other than the default. Folders are shortened."
            blocks.append(Fold(title, [Text(marked), Code(listing(run))]))
        else:
            blocks.append(Note(f"{run.name}: {CONFIG} is missing or cannot be read."))
    return Section("configuration", "Configuration", LEAD, blocks)


def settings_table(runs: Sequence[Run]) -> Block:
    """Settings that are not the same in all runs."""
    found = differences(runs)
    if not found:
        return Note("The configurations of these runs are the same.")
    head = [Column("setting", numeric=False)]
    head += [Column(run.name, numeric=False, run=place) for place, run in enumerate(runs)]
    rows: list[Row] = [[Cell(key, code=True), *(word or MISSING for word in words)] for key, words in found]
    return Table(head, rows, caption="Settings that differ", fold_after=16)


def _changes(run: Run) -> list[Block]:
    changed = changed_keys(run.config)
    if changed is None:
        return [Note("This Foveal reads the configuration only in part: it does not know what differs from the "
                     "defaults.")]  # fmt: skip
    rows: list[Row] = [
        [Cell(key, code=True), in_words(value)] for key, value in flat(run.config) if key in changed
    ]
    columns = [Column("setting", numeric=False), Column("value", numeric=False)]
    return [Table(columns, rows, caption=f"{len(rows)} settings are not the defaults")]
