"""Means, ranges and verdicts, against figures worked out by hand."""

from __future__ import annotations

import pytest

from foveal.lab.results import Run
from foveal.lab.settings import PaperTable
from foveal.lab.verdict import Row, count, judge, pairs_of, rows_of


def run(setting: str, seed: int, ap: float | None, seconds: float = 10.0) -> Run:
    return Run(setting, seed, ap, None if ap is None else ap + 0.2, ap is None, "", seconds, "", "")


def row(*aps: float) -> Row:
    return Row("row", aps, aps, 0, 1.0)


def test_rows() -> None:
    runs = [
        run("b", 2, 0.30),
        run("a", 0, 0.10),
        run("b", 0, 0.20, 40.0),
        run("a", 1, None),
        run("b", 1, 0.25),
    ]
    rows = rows_of(runs)
    assert rows["b"].aps == pytest.approx((20.0, 25.0, 30.0))
    assert rows["b"].ap50s == pytest.approx((40.0, 45.0, 50.0))
    assert (rows["b"].mean, rows["b"].low, rows["b"].high) == pytest.approx((25.0, 20.0, 30.0))
    assert rows["b"].seconds == 20.0
    assert rows["b"].diverged == 0
    assert rows["a"].aps == (10.0, 0.0)  # a diverged run counts 0
    assert rows["a"].diverged == 1


@pytest.mark.parametrize(
    ("first", "second", "paper", "verdict"),
    [
        ((10, 11, 12), (13, 14, 15), (30.0, 31.0), "agrees"),
        ((13, 14, 15), (10, 11, 12), (31.0, 30.0), "agrees"),
        ((10, 11, 12), (13, 14, 15), (31.0, 30.0), "disagrees"),
        ((13, 14, 15), (10, 11, 12), (30.0, 31.0), "disagrees"),
        ((10, 11, 14), (13, 14, 15), (30.0, 31.0), "undecided"),  # the ranges share 13 to 14
        ((10, 11, 12), (12, 14, 15), (30.0, 31.0), "undecided"),  # they touch
        ((10, 20, 30), (11, 12, 13), (30.0, 31.0), "undecided"),  # one inside the other
        ((10, 11), (13, 14), (30.0, 31.0), "undecided"),  # too few seeds
        ((10, 11, 12), (13, 14), (30.0, 31.0), "undecided"),
        ((10, 11, 12), (13, 14, 15), (30.2, 30.2), "no order in the paper"),
        ((10, 11, 12), (13, 14, 15), (None, 30.2), "no order in the paper"),
        ((0, 0, 0), (13, 14, 15), (0.0, 30.2), "agrees"),  # diverged here and in the paper
        ((0, 0, 0), (0, 0, 0), (0.0, 30.2), "undecided"),
    ],
)
def test_verdicts(first: tuple[float, ...], second: tuple[float, ...], paper: tuple, verdict: str) -> None:
    pair = judge(row(*first), row(*second), *paper)
    assert pair.verdict == verdict
    assert pair.ours == pytest.approx(sum(second) / len(second) - sum(first) / len(first))
    mirrored = judge(row(*second), row(*first), *paper[::-1])
    assert mirrored.verdict == verdict
    assert mirrored.ours == pytest.approx(-pair.ours)


def test_a_pair_without_figures_in_the_paper_is_still_decided_or_not() -> None:
    assert judge(row(1, 2, 3), row(4, 5, 6), None, 30.0).decided
    assert not judge(row(1, 2, 4), row(4, 5, 6), None, 30.0).decided


def test_pairs_of_a_table() -> None:
    """Every two measured rows, in the table's order; a row without runs has no pair."""
    table = PaperTable("t", {"a": 30.0, "missing": 31.0, "b": 32.0, "c": None})
    rows = {"c": row(1, 2, 3), "a": row(10, 11, 12), "b": row(20, 21, 22)}
    rows = {name: one._replace(name=name) for name, one in rows.items()}
    pairs = pairs_of(table, rows)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(pair.paper, pair.ours) for pair in pairs] == [(2.0, 10.0), (None, -9.0), (None, -19.0)]
    assert count(pairs) == {"agrees": 1, "disagrees": 0, "undecided": 0, "no order in the paper": 2}
