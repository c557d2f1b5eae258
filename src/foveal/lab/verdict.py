"""Whether the order of two settings is the paper's: decided only where the seeds leave no doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from foveal.lab.results import Run
from foveal.lab.settings import PaperTable

LEAST_SEEDS = 3
"""The ranges of two equally good settings lie apart in one case of ten with three seeds, of three with two."""

Verdict = Literal["agrees", "disagrees", "undecided", "no order in the paper"]


class Row(NamedTuple):
    """A setting over its seeds."""

    name: str
    aps: tuple[float, ...]
    """AP x 100 of each seed; a diverged run has found nothing: 0."""
    ap50s: tuple[float, ...]
    diverged: int
    seconds: float
    """Mean over the seeds."""

    @property
    def mean(self) -> float:
        return sum(self.aps) / len(self.aps)

    @property
    def low(self) -> float:
        return min(self.aps)

    @property
    def high(self) -> float:
        return max(self.aps)


class Pair(NamedTuple):
    """Two settings of one table."""

    first: str
    second: str
    paper: float | None
    """AP x 100 of the second above the first; None where the paper has not both."""
    ours: float
    decided: bool
    """Whether the ranges of the seeds, smallest to largest, lie apart."""
    verdict: Verdict


def rows_of(runs: Iterable[Run]) -> dict[str, Row]:
    """Runs, whatever their order, as one row per setting."""
    by_name: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        by_name.setdefault(run.setting, []).append(run)
    return {
        name: Row(
            name,
            tuple(100 * (run.AP or 0.0) for run in of),
            tuple(100 * (run.AP50 or 0.0) for run in of),
            sum(run.diverged for run in of),
            sum(run.seconds for run in of) / len(of),
        )
        for name, of in by_name.items()
    }


def pairs_of(table: PaperTable, rows: dict[str, Row]) -> list[Pair]:
    """Every two measured settings of a table."""
    measured = [name for name in table.rows if name in rows]
    return [
        judge(rows[first], rows[second], table.rows[first], table.rows[second])
        for first, second in combinations(measured, 2)
    ]


def judge(first: Row, second: Row, paper_first: float | None, paper_second: float | None) -> Pair:
    """Set the order of two rows beside the paper's."""
    ours = second.mean - first.mean
    enough = min(len(first.aps), len(second.aps)) >= LEAST_SEEDS
    decided = enough and (first.high < second.low or second.high < first.low)
    paper = None if paper_first is None or paper_second is None else paper_second - paper_first
    verdict: Verdict
    if not paper:
        verdict = "no order in the paper"
    elif not decided:
        verdict = "undecided"
    else:
        verdict = "agrees" if (ours > 0) == (paper > 0) else "disagrees"
    return Pair(first.name, second.name, paper, ours, decided, verdict)


def count(pairs: Sequence[Pair]) -> dict[Verdict, int]:
    """How many pairs have each verdict."""
    verdicts: tuple[Verdict, ...] = ("agrees", "disagrees", "undecided", "no order in the paper")
    return {verdict: sum(pair.verdict == verdict for pair in pairs) for verdict in verdicts}
