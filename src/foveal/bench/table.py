"""Results as a table: Markdown for the README, rich for the terminal, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from foveal.bench.case import Absent, Case
from foveal.bench.clock import Lap, best_of, median_of
from foveal.bench.machine import Floors
from foveal.bench.measure import Result
from foveal.bench.memory import Memory

COLUMNS = (
    "work",
    "against",
    "its time",
    "ours",
    "ratio [min - max]",
    "target",
    "memory ours / its, MB",
    "largest difference",
)
TERMINAL_COLUMNS = ("work", "ratio [min - max]", "target", "memory ours / its, MB")
"""A terminal is narrow; the rest was told line by line."""
MISSED = "MISSED"
TIMES = {
    "cpu": "Times are process CPU time of all threads, which sleep while they wait (wall time in brackets)",
    "cuda": "Times are device time from the first kernel to the last (wall time in brackets)",
}
NOTE = (
    "{}: the medians of the rounds, or the best, marked *. The ratio is the median of the rounds' ratios, or best "
    "over best. Memory is the peak above what the call's result holds, plus the result where it is large."
)
LARGE_RESULT = 8e6
"""Bytes from which a result is shown beside the temporaries."""


def markdown(results: Sequence[Result | Absent]) -> str:
    """A Markdown table, a missed target in bold."""
    rows = [[text.replace("|", r"\|") for text in cells(result).values()] for result in results]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text.replace(MISSED, f"**{MISSED}**") + "\n"


def terminal(results: Sequence[Result | Absent]) -> Table:
    """The same for a terminal, a missed target in red."""
    table = Table(*(column.replace("[", r"\[") for column in TERMINAL_COLUMNS))
    for result in results:
        row = [cells(result)[column].replace("[", r"\[") for column in TERMINAL_COLUMNS]
        table.add_row(*(f"[red]{cell}[/red]" if MISSED in cell else cell for cell in row))
    return table


def line(result: Result, floors: Floors | None = None) -> str:
    """The figures of one line, for the terminal while the next is measured."""
    cell = cells(result)
    wanted = f", target {cell['target']}" if cell["target"] else ""
    share = f"; {share_of_floor(result, floors)}" if floors else ""
    times = f"{cell['its time']} -> {cell['ours']}: {cell['ratio [min - max]']}{wanted}"
    return f"{times}; memory {cell['memory ours / its, MB']} MB; {cell['largest difference']}{share}"


def notes(device: str) -> str:
    """What the columns mean."""
    return NOTE.format(TIMES[device])


def share_of_floor(result: Result, floors: Floors) -> str:
    """How near ours comes to the device's best rates, where the case tells what it must move and compute."""
    seconds = best_of(result.laps.ours)
    shares = []
    if result.case.traffic is not None:
        shares.append(f"{result.case.traffic / seconds / floors.bandwidth:.0%} of the bandwidth floor")
    if result.case.arithmetic is not None:
        shares.append(f"{result.case.arithmetic / seconds / floors.arithmetic:.0%} of the arithmetic floor")
    return ", ".join(shares) or "no floor"


def as_dict(result: Result | Absent, floors: Floors | None = None) -> dict[str, Any]:
    """One line with all its numbers: seconds, bytes, ratios."""
    if isinstance(result, Absent):
        return {"work": result.name, "skipped": result.reason}
    case = result.case
    return {
        "row": result.row,
        "work": case.name,
        "baseline": case.baseline_name,
        "ratio": {**result.ratio._asdict(), "of": "best times" if case.best else "median of rounds"},
        "target": case.target,
        "memory_target_mb": case.memory_target,
        "memory_share_target": case.memory_share,
        "fast_enough": result.fast_enough,
        "small_enough": result.small_enough,
        "difference": result.difference,
        "rounds": len(result.laps.ours),
        "ours": _side(result.laps.ours, result.ours),
        "its": _side(result.laps.baseline, result.baseline),
        **({"share_of_floor": share_of_floor(result, floors)} if floors else {}),
    }


def cells(result: Result | Absent) -> dict[str, str]:
    """The text of one line by column."""
    if isinstance(result, Absent):
        texts = (result.name, "", "", "", "not measured", "", "", result.reason)
        return dict(zip(COLUMNS, texts, strict=True))
    case, ratio = result.case, result.ratio
    texts = (
        case.name,
        case.baseline_name,
        _time(result.laps.baseline, case.best),
        _time(result.laps.ours, case.best),
        f"{_number(ratio.value)}x [{_number(ratio.low)} - {_number(ratio.high)}]",
        _target(f">= {case.target:g}x", result.fast_enough) if case.target is not None else "",
        f"{_memory(result.ours)} / {_memory(result.baseline)}{_memory_target(case, result.small_enough)}",
        result.difference,
    )
    return dict(zip(COLUMNS, texts, strict=True))


def _side(laps: Sequence[Lap], memory: Memory) -> dict[str, Any]:
    return {
        "busy_seconds": [lap.busy for lap in laps],
        "wall_seconds": [lap.wall for lap in laps],
        "peak_bytes": memory.peak,
        "result_bytes": memory.kept,
    }


def _target(text: str, met: bool | None) -> str:
    return text if met else f"{text} {MISSED}"


def _memory_target(case: Case, met: bool | None) -> str:
    wanted = []
    if case.memory_target is not None:
        wanted.append(f"<= {case.memory_target:g}")
    if case.memory_share is not None:
        wanted.append(f"<= {case.memory_share:g} of its, all in all")
    return f" ({_target(', '.join(wanted), met)})" if wanted else ""


def _time(laps: tuple[Lap, ...], best: bool) -> str:
    if best:
        return f"{_seconds(best_of(laps))}* ({_seconds(min(lap.wall for lap in laps))})"
    middle = median_of(laps)
    return f"{_seconds(middle.busy)} ({_seconds(middle.wall)})"


def _seconds(value: float) -> str:
    return f"{_number(value)} s" if value >= 1 else f"{_number(value * 1000)} ms"


def _memory(memory: Memory) -> str:
    text = _number(memory.temporaries / 1e6)
    return text + (f" + {_number(memory.kept / 1e6)}" if memory.kept >= LARGE_RESULT else "")


def _number(value: float) -> str:
    """Three digits, never an exponent."""
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f}"
