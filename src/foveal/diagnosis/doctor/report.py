"""What a diagnosis found, in order, with the figures of every part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from foveal.diagnosis.doctor.class_counts import counts_of
from foveal.diagnosis.doctor.looking import Look
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.finding import Finding, Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class PartSummary(NamedTuple):
    """Figures of one part."""

    name: str
    pictures: int
    decoded: int
    """Pictures whose pixels were looked at."""
    boxes: int
    """Without crowds."""
    crowds: int
    empty: int
    """Pictures without a box."""
    sizes: str
    """Width x height, or the range of them."""
    median_side: float
    """Square root of the area in pixels, of the median box; 0 without boxes."""
    classes: dict[str, int]
    """Boxes of each class, most first."""


class Group(NamedTuple):
    """Everything that one rule found."""

    rule: str
    severity: Severity
    findings: list[Finding]


class Report:
    """The hits of all rules, the gravest first, and a summary of each part.

    anchors: lines on what a configuration's anchors reach; none for data alone.
    """

    def __init__(
        self, title: str, parts: Sequence[PartSummary], hits: Iterable[Hit], anchors: Sequence[str] = ()
    ) -> None:
        self.title = title
        self.anchors = list(anchors)
        self.parts = list(parts)
        self.hits = sorted(hits, key=lambda hit: SEVERITIES.index(hit.finding.severity))

    @property
    def findings(self) -> list[Finding]:
        """All findings, errors first."""
        return [hit.finding for hit in self.hits]

    def counts(self) -> dict[Severity, int]:
        """How many findings of each severity."""
        counted = Counter(hit.finding.severity for hit in self.hits)
        return {severity: counted[severity] for severity in SEVERITIES}

    def worst(self) -> Finding | None:
        """A finding of the gravest: one on a whole part rather than one at one place. None: nothing was found."""
        wholes = {part.name for part in self.parts} | {"parts", "classes"}
        return min(
            self.findings, key=lambda f: (SEVERITIES.index(f.severity), f.where not in wholes), default=None
        )

    def groups(self) -> list[Group]:
        """By severity, then in the order in which the rules first spoke."""
        found: dict[tuple[Severity, str], Group] = {}
        for hit in self.hits:
            key = (hit.finding.severity, hit.finding.rule)
            found.setdefault(key, Group(key[1], key[0], [])).findings.append(hit.finding)
        return list(found.values())


def summary_of(part: Part, looks: list[Look] | None) -> PartSummary:
    """Figures of one part."""
    records = part.records
    real = ~records.crowd
    sides = np.sqrt(part.sides[real].prod(1))
    counts = counts_of(part)
    return PartSummary(
        part.name,
        len(records),
        sum(look.decoded for look in looks or ()),
        int(real.sum()),
        int(records.crowd.sum()),
        int((part.boxes_per_picture == 0).sum()),
        _sizes(part),
        float(np.median(sides)) if len(sides) else 0.0,
        dict(sorted(counts.items(), key=lambda item: -item[1])),
    )


def _sizes(part: Part) -> str:
    widths, heights = part.records.widths, part.records.heights
    if not len(widths):
        return "-"
    low, high = f"{widths.min()}x{heights.min()}", f"{widths.max()}x{heights.max()}"
    return low if low == high else f"{low} to {high}"
