"""How time and memory grow with the size of the work: measured points, and the exponent of their law."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from foveal.bench.memory import gauge_of

Work = Callable[[], Any]
LEAST_SECONDS, MOST_SECONDS = 0.3, 8.0
LEAST_RUNS, MOST_RUNS = 3, 20
"""A work is repeated until both of the least are reached, or one of the most is; its shortest run counts."""
LEAST_BYTES = 1e6
"""Memory below this is taken for this: a process's own ups and downs are as large."""


class Subject(NamedTuple):
    """Something that can be made larger and larger."""

    axis: str
    """What grows, with its unit: subjects of one axis are drawn together."""
    name: str
    sizes: tuple[int, ...]
    """Ascending."""
    prepare: Callable[[int], Work]
    """Size -> the work, with its data made."""
    torch_memory: bool = True


class Point(NamedTuple):
    """One size, measured."""

    size: float
    seconds: float
    """Process CPU time."""
    bytes: float
    """Peak above what was there before."""


class Series(NamedTuple):
    """One subject, measured."""

    axis: str
    name: str
    points: tuple[Point, ...]

    @property
    def time_exponent(self) -> float:
        """Time goes as size to the power of this, over the upper half of the sizes."""
        return exponent([p.size for p in self.points], [p.seconds for p in self.points])

    @property
    def memory_exponent(self) -> float:
        """The same of memory."""
        return exponent([p.size for p in self.points], [max(p.bytes, LEAST_BYTES) for p in self.points])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(value) over log(size), fitted to the points from the middle of the sizes' logarithms on.

    Below, constant costs hide the law. ValueError for fewer than two sizes; 0 where nothing was taken.
    """
    x = np.log(np.asarray(sizes, dtype=np.float64))
    if len(np.unique(x)) < 2:
        raise ValueError("an exponent needs two sizes")
    upper = x >= (x[0] + x[-1]) / 2
    upper[-2:] = True
    y = np.log(np.maximum(np.asarray(values, dtype=np.float64), 1e-12))
    return float(np.polyfit(x[upper], y[upper], 1)[0])


def measure(subjects: Sequence[Subject], tell: Callable[[str], None] = lambda _: None) -> Iterator[Series]:
    """Every subject, again with each size from its second to its last. tell: is given a line for each size."""
    for subject in subjects:
        points: list[Point] = []
        for size in subject.sizes:
            point = measure_point(subject, size)
            tell(
                f"{subject.name}; {subject.axis}: {size:,}; {point.seconds:.4g} s, {point.bytes / 1e6:.4g} MB"
            )
            points.append(point)
            if len(points) > 1:
                yield Series(subject.axis, subject.name, tuple(points))


def measure_point(subject: Subject, size: int) -> Point:
    """One size: the shortest of several runs, and the peak of another; a long work runs for both at once."""
    work = subject.prepare(size)
    seconds: list[float] = []
    _, memory = gauge_of("cpu", subject.torch_memory)(lambda: seconds.append(_once(work)))
    if subject.torch_memory or seconds[0] <= MOST_SECONDS:  # torch's gauge slows what it measures
        seconds = [_shortest(work)]
    return Point(size, seconds[0], memory.peak)


def _once(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _shortest(work: Work) -> float:
    seconds: list[float] = []
    while len(seconds) < LEAST_RUNS or sum(seconds) < LEAST_SECONDS:
        seconds.append(_once(work))
        if len(seconds) == MOST_RUNS or sum(seconds) > MOST_SECONDS:
            break
    return min(seconds)
