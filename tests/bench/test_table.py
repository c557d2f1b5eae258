"""The table: what a reader sees of a result, and what is kept of it."""

from __future__ import annotations

import io
import json

from rich.console import Console

from foveal.bench import table
from foveal.bench.case import Absent, Case
from foveal.bench.clock import Lap, Laps, Ratio
from foveal.bench.machine import Floors
from foveal.bench.measure import Result
from foveal.bench.memory import Memory

CASE = Case("matching | 7 boxes", "torchvision", int, int, lambda a, b: "", 10, memory_target=60)
LAPS = Laps((Lap(0.002, 0.004), Lap(0.004, 0.004)), (Lap(0.05, 0.1), Lap(1.2, 2.0)))
RESULT = Result(
    "matching",
    CASE,
    LAPS,
    Ratio(12.34, 9.5, 300.0),
    Memory(70_000_000, 20_000_000),
    Memory(9_000_000, 0),
    "0",
)
SLOW = RESULT._replace(ratio=Ratio(9.99, 9.0, 11.0))
GONE = Absent("JPEG", "no pictures")


def test_a_line_of_markdown() -> None:
    lines = table.markdown([RESULT]).splitlines()
    assert lines[0].startswith("| work | against | its time | ours | ratio [min - max] |")
    assert lines[2] == (
        r"| matching \| 7 boxes | torchvision | 625 ms (1.05 s) | 3.00 ms (4.00 ms) | 12.3x [9.50 - 300] "
        "| >= 10x | 50.0 + 20.0 / 9.00 (<= 60) | 0 |"
    )


def test_best_times_are_marked() -> None:
    cells = table.cells(RESULT._replace(case=CASE._replace(best=True)))
    assert cells["its time"] == "50.0 ms* (100 ms)"
    assert cells["ours"] == "2.00 ms* (4.00 ms)"


def test_a_missed_target_is_seen() -> None:
    large = SLOW._replace(case=CASE._replace(memory_target=49.9))
    text = table.markdown([RESULT, SLOW, large])
    met, slow, both = text.splitlines()[2:]
    assert "MISSED" not in met
    assert "| >= 10x **MISSED** |" in slow
    assert slow.count("MISSED") == 1
    assert "(<= 49.9 **MISSED**)" in both
    assert both.count("MISSED") == 2
    assert "target >= 10x MISSED" in table.line(SLOW)


def test_the_terminal_shows_every_row_in_its_width() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(table.terminal([RESULT, SLOW, GONE]))
    shown = out.getvalue()
    assert max(len(row) for row in shown.splitlines()) <= 80
    for text in ("12.3x [9.50 - 300]", "MISSED", "not measured", "ratio [min - max]"):
        assert text in " ".join(shown.split())


def test_an_absent_row_says_why() -> None:
    assert table.markdown([GONE]).splitlines()[2] == "| JPEG |  |  |  | not measured |  |  | no pictures |"
    assert table.as_dict(GONE) == {"work": "JPEG", "skipped": "no pictures"}


def test_json_holds_every_number() -> None:
    kept = json.loads(json.dumps(table.as_dict(RESULT)))
    assert kept["ratio"] == {"value": 12.34, "low": 9.5, "high": 300.0, "of": "median of rounds"}
    assert kept["ours"] == {
        "busy_seconds": [0.002, 0.004],
        "wall_seconds": [0.004, 0.004],
        "peak_bytes": 70_000_000,
        "result_bytes": 20_000_000,
    }
    assert (kept["target"], kept["fast_enough"], kept["small_enough"]) == (10, True, True)
    assert (kept["row"], kept["work"], kept["baseline"], kept["rounds"]) == (
        "matching", "matching | 7 boxes", "torchvision", 2,
    )  # fmt: skip


def test_shares_of_the_floors() -> None:
    floors = Floors(bandwidth=1e9, arithmetic=1e12)
    case = CASE._replace(traffic=1e6, arithmetic=5e8)
    shown = table.share_of_floor(RESULT._replace(case=case), floors)  # best time: 2 ms
    assert shown == "50% of the bandwidth floor, 25% of the arithmetic floor"
    assert table.share_of_floor(RESULT, floors) == "no floor"
    assert str(floors) == "1 GB/s, 1 TFLOP/s in bf16"
