"""One case -> one line of the table: outputs compared, memory, and the times of both sides."""

from __future__ import annotations

from typing import Any, NamedTuple

from foveal.bench.case import Case, Setup
from foveal.bench.clock import Laps, Ratio, interleave, ratio_of, stopwatch_of
from foveal.bench.memory import Memory, gauge_of


class Result(NamedTuple):
    """What one case gave."""

    row: str
    case: Case
    """Without its work, which would keep the data alive."""
    laps: Laps
    ratio: Ratio
    ours: Memory
    baseline: Memory
    difference: str

    @property
    def fast_enough(self) -> bool | None:
        """None: the case has no target."""
        return None if self.case.target is None else self.ratio.value >= self.case.target

    @property
    def small_enough(self) -> bool | None:
        """None: the case has no target for memory."""
        met = []
        if self.case.memory_target is not None:
            met.append(self.ours.temporaries <= self.case.memory_target * 1e6)
        if self.case.memory_share is not None:
            met.append(self.ours.peak <= self.case.memory_share * self.baseline.peak)
        return all(met) if met else None


def measure(row: str, case: Case, setup: Setup, rounds: int | None = None) -> Result:
    """Run a case: once each to warm up, then for memory and output, then the rounds.

    rounds: of both sides; default: the case's own. The targets of a quick form, which mean nothing, are dropped.
    """
    if setup.quick:
        case = case._replace(target=None, memory_target=None, memory_share=None)
    case.ours()
    case.baseline()
    gauge = gauge_of(setup.device, case.torch_memory)
    our_output, our_memory = gauge(case.ours)
    baseline_output, baseline_memory = gauge(case.baseline)
    difference = case.difference(our_output, baseline_output)
    del our_output, baseline_output
    laps = interleave(case.ours, case.baseline, rounds or case.rounds, stopwatch_of(setup.device))
    case = case._replace(ours=_done, baseline=_done, difference=_done)
    return Result(row, case, laps, ratio_of(laps, case.best), our_memory, baseline_memory, difference)


def _done(*_: Any) -> Any:
    raise RuntimeError("this case was measured; its work is gone")
