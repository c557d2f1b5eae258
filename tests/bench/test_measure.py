"""From a case to a line of the table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foveal.bench.case import Case, Setup
from foveal.bench.clock import Lap, Laps, Ratio
from foveal.bench.measure import Result, measure
from foveal.bench.memory import Memory


def case(calls: list[str] | None = None, **changes: object) -> Case:
    log = calls if calls is not None else []

    def ours() -> torch.Tensor:
        log.append("ours")
        return torch.ones(3)

    def baseline() -> torch.Tensor:
        log.append("its")
        return torch.ones(3) * 2

    def difference(one: torch.Tensor, other: torch.Tensor) -> str:
        return f"{(other - one).max().item():g} of {len(one)}"

    made = Case("adding", "torch", ours, baseline, difference, 2.0)
    return made._replace(**changes)  # type: ignore[arg-type]


def test_both_sides_run_equally_often_and_the_outputs_are_compared() -> None:
    calls: list[str] = []
    result = measure("row", case(calls), Setup(), rounds=3)
    assert calls.count("ours") == calls.count("its") == 6  # warm-up, memory twice, three rounds
    assert calls[:2] == ["ours", "its"]
    assert result.difference == "1 of 3"
    assert len(result.laps.ours) == len(result.laps.baseline) == 3
    assert result.ratio.low <= result.ratio.value <= result.ratio.high
    assert result.ours.peak >= 12


def test_a_case_has_its_own_rounds() -> None:
    assert len(measure("row", case(rounds=2), Setup()).laps.ours) == 2


def test_nothing_to_compare_is_no_result() -> None:
    def difference(one: object, other: object) -> str:
        raise ValueError("nothing to compare")

    with pytest.raises(ValueError, match="nothing"):
        measure("row", case(difference=difference), Setup(), rounds=1)


def test_a_quick_form_has_no_targets() -> None:
    found = measure("row", case(memory_target=1.0, memory_share=0.5), Setup(quick=True), rounds=1)
    assert found.fast_enough is None
    assert found.small_enough is None


def test_a_result_does_not_hold_the_data() -> None:
    with pytest.raises(RuntimeError, match="its work is gone"):
        measure("row", case(), Setup(data=Path("x")), rounds=1).case.ours()


def result(ratio: float = 3.0, **changes: object) -> Result:
    ours = Memory(5_000_000, 1_000_000)
    laps = Laps((Lap(1.0, 1.0),), (Lap(3.0, 3.0),))
    changed = case(**changes)
    return Result("row", changed, laps, Ratio(ratio, ratio, ratio), ours, Memory(10_000_000, 0), "none")


@pytest.mark.parametrize(("ratio", "met"), [(2.0, True), (1.99, False)])
def test_the_target_is_reached_or_not(ratio: float, met: bool) -> None:
    assert result(ratio).fast_enough is met
    assert result(ratio, target=None).fast_enough is None


@pytest.mark.parametrize(
    ("target", "share", "met"),
    [(None, None, None), (4, None, True), (3.9, None, False), (None, 0.5, True), (None, 0.49, False)]
    + [(4, 0.49, False), (3.9, 0.5, False)],
)
def test_memory_is_measured_by_temporaries_or_by_the_whole(
    target: float | None, share: float | None, met: bool | None
) -> None:
    assert result(memory_target=target, memory_share=share).small_enough is met
