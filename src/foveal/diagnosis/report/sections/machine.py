"""Versions and machine."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import MISSING, Block, Cell, Column, Note, Row, Section, Table
from foveal.diagnosis.report.environment import describe_environment
from foveal.diagnosis.report.gather import Run, at

LEAD = "Programs and machine; no host name, no user."


def machine(runs: Sequence[Run]) -> Section:
    """What each run noted of its own; else that of the machine that writes this page, and it says so."""
    noted = [run.environment for run in runs]
    blocks: list[Block] = []
    if any(noted):
        columns = [_column(runs, place) for place in range(len(runs))]
        tables = noted
    else:
        columns, tables = [Column("where this page was written", numeric=False)], [describe_environment()]
        trained = [at(run.weights.about, "version") for run in runs if run.weights is not None]
        versions = ", ".join(sorted({str(one) for one in trained if one}))
        words = f" The checkpoints were written by Foveal {versions}." if versions else ""
        blocks.append(Note("The runs did not note their own environment; this is that of the machine that wrote "
                           f"the page.{words}"))  # fmt: skip
    names = dict.fromkeys(name for table in tables for name in table)
    rows: list[Row] = [[name, *(_cell(table, tables, name) for table in tables)] for name in names]
    return Section(
        "environment", "Environment", LEAD, [Table([Column("", numeric=False), *columns], rows), *blocks]
    )


def _column(runs: Sequence[Run], place: int) -> Column:
    return (
        Column(runs[place].name, numeric=False, run=place)
        if len(runs) > 1
        else Column("this run", numeric=False)
    )


def _cell(table: dict[str, str], tables: Sequence[dict[str, str]], name: str) -> Cell:
    return Cell(table.get(name, MISSING), strong=len({table.get(name) for table in tables}) > 1)
