"""X3: half an hour of good, damaged, huge, slow and broken-off requests together, and what the server gains by it.

``FOVEAL_TORTURE_MINUTES=5`` makes it shorter. Prints the series as CSV. Memory counts as level where the median of
the last third of the samples is within 5 % of that of the first third, the warm-up (a fifth of the time) left out:
pictures in work come and go, and decoding processes that are killed begin anew.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from statistics import linear_regression, median
from typing import NamedTuple

from attacks.client import ask, get
from attacks.mixture import PROMISED, Mixture
from attacks.server import MEGABYTE, Server, serving
from frame import Place, Verdict

MINUTES = float(os.environ.get("FOVEAL_TORTURE_MINUTES", "30"))
EVERY = 5.0
"""Seconds between samples."""
WARM_UP = 0.2
LEVEL = 0.05
REST = 40.0
"""Seconds at most until a server is at rest: idle connections are closed after 15."""


class Sample(NamedTuple):
    """A server and all that it started, at one moment."""

    second: float
    memory: int
    """Proportional bytes."""
    handles: int
    processes: int
    threads: int


def run(place: Place) -> Verdict:
    """X3 whole."""
    with serving(place) as (server, picture):
        return asyncio.run(load(server, picture, place.seed, MINUTES * 60))


async def load(server: Server, picture: bytes, seed: int, seconds: float) -> Verdict:
    """The mixture on a server for so long, and what became of it."""
    before = await rested(server, None)
    mixture = Mixture(server, picture, seed)
    series: list[Sample] = []
    watching = asyncio.create_task(watch(server, series))
    await mixture.run(seconds)
    watching.cancel()
    after = await rested(server, before)
    health = (
        (await ask(server.port, get("/health/live"))).status,
        (await ask(server.port, get("/health/ready"))).status,
    )
    for kind in PROMISED:
        counts = {status: n for (its_kind, status), n in sorted(mixture.answers.items()) if its_kind == kind}
        print(f"{kind}: {counts}")
    print(f"broken off by the client: {mixture.aborted}; before: {before}; after: {after}", flush=True)
    return verdict(series, before, after, mixture, health)


def verdict(
    series: list[Sample], before: Sample, after: Sample, mixture: Mixture, health: tuple[int, int]
) -> Verdict:
    """Whether all that is promised held."""
    warm = [one for one in series if one.second >= WARM_UP * series[-1].second]
    third = len(warm) // 3
    first, last = (median(one.memory for one in part) for part in (warm[:third], warm[-third:]))
    slope = linear_regression([one.second for one in warm], [one.memory for one in warm]).slope * 3600
    broken = {pair: n for pair, n in mixture.answers.items() if pair[1] not in PROMISED[pair[0]]}
    unasked = set(PROMISED) - {kind for kind, status in mixture.answers if status != 503}
    kept = (
        last < first * (1 + LEVEL)
        and (after.handles, after.processes) == (before.handles, before.processes)
        and after.threads <= before.threads
        and not broken
        and not unasked
        and mixture.mixed_up == 0
        and mixture.kills > 0
        and health == (200, 200)
    )
    unpromised = f"{sum(broken.values())} unpromised" + (f" {broken}" if broken else "")
    return Verdict(
        kept,
        f"{series[-1].second / 60:.0f} minutes, {mixture.answers.total():,} answers, {unpromised}, "
        f"{mixture.mixed_up} mixed up, {mixture.aborted:,} broken off by clients, {mixture.kills} decoders "
        f"killed; memory {first / MEGABYTE:.0f} MB in the first third, {last / MEGABYTE:.0f} MB in the last "
        f"({slope / MEGABYTE:+.0f} MB per hour); handles {before.handles} before, {after.handles} after; "
        f"processes {before.processes}, {after.processes}; threads {before.threads}, {after.threads}; "
        f"health {health}",
    )


async def watch(server: Server, series: list[Sample]) -> None:
    """Add a sample now and then, and print it."""
    began = time.monotonic()
    print(",".join(Sample._fields))
    while True:
        await asyncio.sleep(EVERY)
        series.append(sample(server, time.monotonic() - began))
        print(",".join(f"{value:.0f}" for value in series[-1]), flush=True)


def sample(server: Server, second: float) -> Sample:
    """A moment; processes that end meanwhile count as far as they can be seen."""
    family = server.family()
    handles = threads = 0
    for pid in family:
        try:
            handles += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            threads += sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue
    return Sample(second, server.proportional_memory(), handles, len(family), threads)


async def rested(server: Server, like: Sample | None) -> Sample:
    """Once nothing is at work and all is as before; after ``REST`` seconds what there is."""
    end = time.monotonic() + (REST if like else 3)
    while time.monotonic() < end:
        now = sample(server, 0)
        if like and (now.handles, now.processes) == (like.handles, like.processes):
            return now
        await asyncio.sleep(1)
    return sample(server, 0)
