"""Growth: the fitted exponent, and how often a work is run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foveal.bench import growth
from foveal.bench.growth import Point, Series, Subject, exponent, measure, measure_point


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_the_exponent_of_a_power(power: float) -> None:
    sizes = [1, 10, 50, 300, 1000]
    assert exponent(sizes, [7 * size**power for size in sizes]) == pytest.approx(power)


def test_constant_costs_at_small_sizes_do_not_count() -> None:
    sizes = [1, 10, 100, 1000, 10_000]
    assert exponent(sizes, [50, 50, 100, 1000, 10_000]) == pytest.approx(1)


def test_the_last_two_sizes_count_in_any_case() -> None:
    assert exponent([1, 2, 1000], [1, 10, 10_000]) == pytest.approx(1.11, abs=0.01)


def test_one_size_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        exponent([5, 5], [1, 2])


def test_memory_in_the_noise_is_constant() -> None:
    points = (Point(1, 1, 0), Point(10, 1, 30_000), Point(100, 1, 900_000))
    assert Series("n", "small", points).memory_exponent == pytest.approx(0, abs=1e-9)
    assert Series("n", "small", (*points, Point(1000, 1, 10e6))).memory_exponent > 0.9


def subject(seconds: float, clock: list[float], sizes: tuple[int, ...] = (3,)) -> tuple[Subject, list[int]]:
    """A work that takes so long by a clock of our own, and a list of the sizes it was run at."""
    runs: list[int] = []

    def prepare(size: int) -> Callable[[], None]:
        def work() -> None:
            runs.append(size)
            clock[0] += seconds * size

        return work

    return Subject("n", "waiting", sizes, prepare), runs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(growth.time, "process_time", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "runs"), [(0.0001, growth.MOST_RUNS), (0.07, 5), (1, growth.LEAST_RUNS), (7, 2), (9, 1)]
)
def test_short_works_are_repeated_and_long_ones_run_once(
    clock: list[float], seconds: float, runs: int
) -> None:
    waiting, ran = subject(seconds, clock, (1,))
    point = measure_point(waiting, 1)
    assert point.seconds == pytest.approx(seconds)
    assert len(ran) == runs + 2  # memory is read in the second of two more


@pytest.mark.parametrize(("seconds", "runs"), [(9, 1), (7, 3)])
def test_what_is_long_and_outside_torch_runs_once_for_time_and_memory(
    clock: list[float], seconds: float, runs: int
) -> None:
    waiting, ran = subject(seconds, clock, (1,))
    point = measure_point(waiting._replace(torch_memory=False), 1)
    assert point.seconds == pytest.approx(seconds)
    assert len(ran) == runs


def test_every_size_is_measured_and_told(clock: list[float]) -> None:
    waiting, ran = subject(0.1, clock, (1, 2, 8))
    told: list[str] = []
    shorter, series = measure([waiting], told.append)
    assert shorter.points == series.points[:2]
    assert [point.seconds for point in series.points] == pytest.approx([0.1, 0.2, 0.8])
    assert series.time_exponent == pytest.approx(1)
    assert set(ran) == {1, 2, 8}
    assert told[2].startswith("waiting; n: 8; 0.8 s")
