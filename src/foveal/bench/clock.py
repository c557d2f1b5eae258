"""Two sides against the clock: in turns, in one process, after a warm-up, and what their times say.

Machines are shared and change their speed from minute to minute. A round holds both sides close together, so
its ratio is steadier than any time; the side that goes first changes with every round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch

Work = Callable[[], Any]


class Lap(NamedTuple):
    """Seconds of one call."""

    busy: float
    """On a CPU: computing time of all threads of the process. On CUDA: from the first kernel to the last."""
    wall: float


Stopwatch = Callable[[Work], Lap]


class Laps(NamedTuple):
    """One lap of each side per round."""

    ours: tuple[Lap, ...]
    baseline: tuple[Lap, ...]


class Ratio(NamedTuple):
    """Baseline's time over ours: how many times faster ours is."""

    value: float
    low: float
    high: float


def stopwatch_of(device: str) -> Stopwatch:
    """The stopwatch for work on this device."""
    return cuda_lap if device == "cuda" else cpu_lap


def cpu_lap(work: Work) -> Lap:
    """Process time and wall time of a call."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return Lap(time.process_time() - busy, time.perf_counter() - wall)


def cuda_lap(work: Work) -> Lap:
    """Device time between two events around a call, and wall time until the device is done."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    wall = time.perf_counter()
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return Lap(start.elapsed_time(end) / 1000, time.perf_counter() - wall)


def interleave(ours: Work, baseline: Work, rounds: int, stopwatch: Stopwatch) -> Laps:
    """Laps of both sides in turns. Warming up is the caller's. ValueError without a round."""
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1: {rounds}")
    laps: tuple[list[Lap], list[Lap]] = ([], [])
    gc.collect()
    gc.freeze()  # what there is already need not be looked through between the laps
    try:
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                gc.collect()  # the other side's rubbish is not this one's work
                laps[side].append(stopwatch((ours, baseline)[side]))
    finally:
        gc.unfreeze()
    return Laps(tuple(laps[0]), tuple(laps[1]))


def ratio_of(laps: Laps, best: bool = False) -> Ratio:
    """Median of the rounds' ratios; with ``best``, of the best times. Lowest and highest are of the rounds."""
    each = [b.busy / o.busy for o, b in zip(laps.ours, laps.baseline, strict=True)]
    value = best_of(laps.baseline) / best_of(laps.ours) if best else median(each)
    return Ratio(value, min(each), max(each))


def best_of(laps: tuple[Lap, ...]) -> float:
    """Shortest computing time."""
    return min(lap.busy for lap in laps)


def median_of(laps: tuple[Lap, ...]) -> Lap:
    """Median of each time."""
    return Lap(median(lap.busy for lap in laps), median(lap.wall for lap in laps))
