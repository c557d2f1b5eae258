"""From values to places on an axis, and the round values at which it is marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(NamedTuple):
    """Maps ``low..high`` onto ``start..end``, linear or by powers of ten."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Place of a value; one outside lands on the nearer end."""
        low, high, value = (
            (math.log(max(v, 1e-300)) if self.log else v) for v in (self.low, self.high, value)
        )
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside, some ``about`` of them."""
        if not self.log:
            step = round_step((self.high - self.low) / about)
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            return [round(place * step, 12) for place in range(first, last + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1, 2, 5) if len(powers) <= 3 else (1,)
        found = [factor * 10.0**power for power in powers for factor in factors]
        every = max(1, math.ceil(len(found) / (about + 2)))
        inside = [v for v in found if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]
        return inside[::every]


def fit_scale(
    values: Sequence[float],
    start: float,
    end: float,
    bounds: tuple[float | None, float | None] = (None, None),
    log: bool = False,
) -> Scale:
    """A scale that holds the values. bounds: ends that are fixed; the others are rounded outwards."""
    low = min(values, default=0.0) if bounds[0] is None else bounds[0]
    high = max(values, default=1.0) if bounds[1] is None else bounds[1]
    if log and low > 0:
        return Scale(low, max(high, low * 1.001), start, end, log=True)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = (low if bounds[0] is not None else low - 0.5), (low + (abs(low) or 1.0))
    step = round_step((high - low) / 5)
    low = math.floor(low / step + 1e-9) * step if bounds[0] is None else low
    high = math.ceil(high / step - 1e-9) * step if bounds[1] is None else high
    return Scale(low, high, start, end)


def round_step(about: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(max(about, 1e-300)))
    return next(step * power for step in STEPS if step * power >= about * (1 - 1e-9))


def short(value: float) -> str:
    """A number for an axis: 1200 as 1,200, 25000 as 25k, 1e-05 as 1e-5."""
    size = abs(value)
    if size >= 10_000:
        for limit, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= limit:
                return f"{value / limit:.3g}{mark}"
    if size >= 1000:
        return f"{value:,.0f}"
    if 0 < size < 1e-3:
        number, _, power = f"{value:.3g}".partition("e")
        return f"{number}e{int(power)}" if power else number
    return f"{value:.3g}"
