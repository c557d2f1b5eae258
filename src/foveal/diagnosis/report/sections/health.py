"""Warnings that training gave, the same ones together."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.diagnosis.report.blocks import Block, Heading, Item, Items, Note, Section, sentence
from foveal.diagnosis.report.gather import HealthLine, Run

LEAD = "What Foveal noticed while training, and what to do about it."


def health(runs: Sequence[Run]) -> Section | None:
    """None where no run has warnings: an older run has no such file, and a sound one none either."""
    if not any(run.health for run in runs):
        return None
    blocks: list[Block] = []
    for place, run in enumerate(runs):
        if len(runs) > 1:
            blocks.append(Heading(run.name, place))
        if run.health:
            blocks.append(_items(run))
        else:
            blocks.append(Note("No warning.", "good"))
    return Section("health", "Health", LEAD, blocks)


def _items(run: Run) -> Items:
    groups: dict[str, list[HealthLine]] = {}
    for line in run.health:
        groups.setdefault(line.rule or line.message, []).append(line)
    return Items(
        [
            Item(sentence(run.plain(lines[-1].message)), run.plain(lines[-1].fix), _steps(lines))
            for lines in groups.values()
        ]
    )


def _steps(lines: Sequence[HealthLine]) -> str:
    """At which steps, and how often."""
    steps = [line.step for line in lines if line.step is not None]
    times = f", {len(lines)} times" if len(lines) > 1 else ""
    if not steps:
        return times.removeprefix(", ")
    span = f"step {steps[0]:,}" if min(steps) == max(steps) else f"steps {min(steps):,} to {max(steps):,}"
    return span + times
