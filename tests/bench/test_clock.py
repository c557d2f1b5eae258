"""The clock: whose turn it is, and what is made of the times."""

from __future__ import annotations

import time

import pytest

from foveal.bench.clock import Lap, Laps, Ratio, best_of, cpu_lap, interleave, median_of, ratio_of


def laps(ours: list[float], baseline: list[float]) -> Laps:
    return Laps(tuple(Lap(t, 2 * t) for t in ours), tuple(Lap(t, 3 * t) for t in baseline))


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Medians of the times would give 20 / 2 = 10; the rounds' ratios are 10, 5 and 8."""
    assert ratio_of(laps([1, 4, 2], [10, 20, 16])) == Ratio(8, 5, 10)


def test_best_is_over_best_with_the_range_of_the_rounds() -> None:
    assert ratio_of(laps([1, 4, 2], [20, 10, 16]), best=True) == Ratio(10, 2.5, 20)


def test_medians_are_of_each_time() -> None:
    times = (Lap(3, 1), Lap(1, 5), Lap(2, 9))
    assert median_of(times) == Lap(2, 5)
    assert best_of(times) == 1


def test_the_sides_take_turns_and_change_who_goes_first() -> None:
    calls: list[str] = []
    now = [0.0]

    def stopwatch(work: object) -> Lap:
        assert callable(work)
        before = now[0]
        work()
        return Lap(now[0] - before, 0.0)

    def side(name: str, seconds: float) -> object:
        def work() -> None:
            calls.append(name)
            now[0] += seconds

        return work

    found = interleave(side("ours", 1.0), side("its", 6.0), 3, stopwatch)  # type: ignore[arg-type]
    assert calls == ["ours", "its", "its", "ours", "ours", "its"]
    assert [lap.busy for lap in found.ours] == [1, 1, 1]
    assert ratio_of(found) == Ratio(6, 6, 6)


def test_no_rounds() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        interleave(int, int, 0, cpu_lap)


def test_process_time_does_not_run_while_a_call_sleeps() -> None:
    lap = cpu_lap(lambda: time.sleep(0.05))
    assert lap.busy < 0.04 < lap.wall
