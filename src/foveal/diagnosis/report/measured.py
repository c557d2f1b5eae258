"""What evaluation.json says, in the page's own terms: a part that is missing or of another shape is simply absent.

The shape is that of docs/evaluation.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from foveal.diagnosis.report.gather import Run, at, number, rows

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
ERROR_KINDS = ("class", "location", "both", "duplicate", "background", "missed")

Span = tuple[float, float]


class Said(NamedTuple):
    """One thing that the evaluation has to say in words."""

    rule: str
    severity: str
    message: str
    fix: str


class ClassRow(NamedTuple):
    """One class of one run."""

    name: str
    pictures: int | None
    boxes: int | None
    AP: float | None
    AP50: float | None
    AR100: float | None
    span: Span | None
    threshold: float | None


def span_of(value: Any) -> Span | None:
    """An interval of the file: ``{value, low, high}``."""
    low, high = number(at(value, "low")), number(at(value, "high"))
    return None if low is None or high is None or low > high else (low, high)


def interval(run: Run, metric: str) -> Span | None:
    """95 % interval of a COCO number, where it was measured."""
    return span_of(at(run.evaluation, "intervals", metric))


def classes(run: Run) -> list[ClassRow]:
    """Rows of each class, in model order."""
    thresholds = run.weights.about.get("thresholds") if run.weights is not None else None
    intervals = rows(at(run.evaluation, "intervals", "per_class"))
    spans = {str(row.get("name")): span_of(row.get("AP")) for row in intervals}
    found = []
    for place, row in enumerate(rows(run.evaluation.get("per_class"))):
        name = str(row.get("name", place))
        threshold = number(at(run.evaluation, "thresholds", "values", name))
        threshold = number(at(thresholds, name)) if threshold is None else threshold
        found.append(
            ClassRow(
                name,
                _whole(row.get("pictures")),
                _whole(row.get("boxes")),
                number(row.get("AP")),
                number(row.get("AP50")),
                number(row.get("AR100")),
                spans.get(name),
                threshold,
            )
        )
    return found


def paired(first: Run, second: Run) -> Span | None:
    """95 % interval of ``second``'s AP less ``first``'s on the same pictures; None where the files do not hold it.

    Both evaluations drew the pictures alike, so that how hard a draw is cancels out (``metrics.intervals``).
    """
    labels = at(first.evaluation, "intervals", "labels")
    if labels is None or labels != at(second.evaluation, "intervals", "labels"):
        return None
    sides = [at(run.evaluation, "intervals", "draws") for run in (first, second)]
    if not all(isinstance(side, list) for side in sides) or len(sides[0]) != len(sides[1]):
        return None
    draws = [(number(a), number(b)) for a, b in zip(*sides, strict=True)]
    differences = [b - a for a, b in draws if a is not None and b is not None]
    if not differences:
        return None
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(low), float(high)


def comparable(runs: Sequence[Run]) -> bool:
    """Whether the runs were measured on the same pictures, as far as their files tell."""
    return len(by_data([run for run in runs if run.metric("AP") is not None])) <= 1


def by_data(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups of the same pictures to be measured on, in the order of the first of each."""
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if all(_same_data(other, run) for other in group)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _same_data(first: Run, second: Run) -> bool:
    """By the digest of the labels where both files hold it, else by the number of pictures and data.val."""
    runs = first, second
    labels = [at(run.evaluation, "intervals", "labels") for run in runs]
    if None not in labels:
        return bool(labels[0] == labels[1])
    counts = {number(run.evaluation.get("pictures")) for run in runs} - {None}
    sources = [at(run.config, "data", "val") for run in runs if run.config]
    texts = {json.dumps(source, sort_keys=True, default=str) for source in sources}
    return len(counts) <= 1 and len(texts) <= 1


def said(run: Run) -> list[Said]:
    """What the evaluation says in words, the dearest first; without folders of the machine."""
    found = []
    for row in rows(run.evaluation.get("findings")):
        message, fix = row.get("message"), row.get("fix")
        if isinstance(message, str) and message:
            words = run.plain(fix) if isinstance(fix, str) else ""
            severity = str(row.get("severity", "note"))
            found.append(Said(str(row.get("rule", "")), severity, run.plain(message), words))
    return found


def error_points(run: Run) -> dict[str, float]:
    """What AP50 would gain, in points of 100, were all errors of a kind mended; empty where it is not known."""
    points = at(run.evaluation, "errors", "points")
    if not isinstance(points, dict):
        return {}
    return {kind: value for kind in ERROR_KINDS if (value := number(points.get(kind))) is not None}


def error_counts(run: Run) -> dict[str, int]:
    """How many errors of each kind."""
    counts = at(run.evaluation, "errors", "counts")
    if not isinstance(counts, dict):
        return {}
    return {kind: int(value) for kind in ERROR_KINDS if (value := number(counts.get(kind))) is not None}


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)
