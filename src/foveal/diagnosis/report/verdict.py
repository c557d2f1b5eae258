"""The top of the page: how good, what costs most, and what to do next, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foveal.diagnosis.after.findings import HELP
from foveal.diagnosis.report.blocks import MISSING, Item, points, sentence, size_words
from foveal.diagnosis.report.gather import HealthLine, Run, number
from foveal.diagnosis.report.measured import classes, comparable, error_points, interval, paired, said

ERROR_WORDS = {
    "class": "the wrong class on a right box",
    "location": "boxes that do not fit well enough",
    "both": "wrong class and ill-fitting box together",
    "duplicate": "several boxes on one object",
    "background": "detections where nothing is labelled",
    "missed": "objects that are not found at all",
}
ADVICE: Mapping[str, str] = {str(kind): words for kind, words in HELP.items()}
STILL_RISING = 0.005
"""AP between the last two validations from which a run counts as not done."""
WEAK_CLASS = 0.5
"""Share of the AP of all under which a class is named."""
FEW_BOXES = 30
WIDE = 0.10
"""Width of AP's interval from which more validation pictures are asked for."""
MOST_ADVICE = 4


def verdict(runs: Sequence[Run]) -> str:
    """One sentence about one run, or about which of several is ahead."""
    return _one(runs[0]) if len(runs) == 1 else _several(runs)


def _one(run: Run) -> str:
    score = run.metric("AP")
    if score is None:
        return "The run has not been evaluated, so nothing can be said about how good it is."
    span = interval(run, "AP")
    certain = f" (95 % interval {100 * span[0]:.1f} to {100 * span[1]:.1f})" if span else ""
    text = f"The detector reaches an AP of {points(score)} of 100{certain}"
    half = run.metric("AP50")
    if half is not None:
        text += f", or {points(half)} where a rough fit counts"
    pictures = number(run.evaluation.get("pictures"))
    if pictures:
        text += f", on {pictures:,.0f} validation pictures"
    worst = largest_error(run)
    if _hardly_learned(run):
        text += "; it has learned next to nothing so far, and the kinds of its errors say little"
    elif worst is not None:
        kind, cost = worst
        text += f"; what costs it most is {ERROR_WORDS[kind]} ({cost:.1f} points of AP50)"
    return text + "."


def _several(runs: Sequence[Run]) -> str:
    known = sorted(
        ((score, run) for run in runs if (score := run.metric("AP")) is not None), key=lambda pair: -pair[0]
    )
    if not known:
        return f"None of the {len(runs)} runs has been evaluated."
    if not comparable(runs):
        values = ", ".join(f"{run.name} {points(score)}" for score, run in known)
        return f"{len(runs)} runs, not measured on the same pictures, so that their APs do not compare: {values}."
    score, first = known[0]
    if len(known) == 1:
        return f"Only {first.name} has been evaluated: AP {points(score)}."
    second, other = known[1]
    text = (
        f"Of {len(runs)} runs {first.name} is ahead with an AP of {points(score)}, "
        f"{points(score - second)} points before {other.name}"
    )
    gap = paired(other, first)
    spans = interval(first, "AP"), interval(other, "AP")
    if gap is not None:
        luck = "the choice of pictures"
        certain = f"{luck} does not explain it" if gap[0] > 0 else f"{luck} may explain it"
        text += f" (95 % on the same pictures: {100 * gap[0]:.1f} to {100 * gap[1]:.1f}; {certain})"
    elif spans[0] and spans[1]:
        apart = spans[0][0] > spans[1][1]
        text += (
            "; their 95 % intervals lie apart"
            if apart
            else "; their 95 % intervals overlap, so chance may explain it"
        )
    return text + "."


def advice(runs: Sequence[Run]) -> list[Item]:
    """What to do next with one run, and why, the most urgent first; nothing for several."""
    if len(runs) != 1:
        return []
    run = runs[0]
    found = [
        Item(sentence(run.plain(line.fix)), sentence(run.plain(line.message))) for line in _warnings(run)
    ]
    if run.metric("AP") is None:
        words = "Measure it on labelled pictures: foveal evaluate RUN/best.safetensors --data CONFIG.yaml"
        found.append(Item(words))
    told = [one for one in said(run) if one.fix]
    if _hardly_learned(run):
        return [*found, Item(sentence(told[0].fix), sentence(told[0].message))]
    urgent = [one for one in told if one.severity != "note"][:2] or told[:1]
    found += [Item(sentence(one.fix), sentence(one.message)) for one in urgent]
    worst = largest_error(run)
    if not told and worst is not None and worst[1] >= 1:
        found.append(Item(sentence(ADVICE[worst[0]]), f"Against {ERROR_WORDS[worst[0]]}."))
    found += [Item(words) for words in (*_length(run), *_weak_classes(run), *_certainty(run))]
    return found[:MOST_ADVICE]


def _hardly_learned(run: Run) -> bool:
    return [one.rule for one in said(run) if one.fix][:1] == ["hardly_learned"]


def largest_error(run: Run) -> tuple[str, float] | None:
    """Kind of error that costs most, and what it costs in points of AP50."""
    points_of = error_points(run)
    if not points_of:
        return None
    kind = max(points_of, key=lambda name: points_of[name])
    return (kind, points_of[kind]) if points_of[kind] > 0 else None


def key_figures(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """(value, name, note) of one run's few numbers that say most; none for several."""
    if len(runs) != 1:
        return []
    run = runs[0]
    span = interval(run, "AP")
    found = [
        (
            points(run.metric("AP")),
            "AP",
            f"95 %: {100 * span[0]:.1f} to {100 * span[1]:.1f}" if span else "of 100",
        ),
        (points(run.metric("AP50")), "AP50", "a rough fit counts"),
        (points(run.metric("AR100")), "AR100", "recall"),
    ]
    rows = classes(run)
    if rows:
        boxes = sum(row.boxes or 0 for row in rows)
        found.append((f"{len(rows)}", "classes", f"{boxes:,} boxes in validation"))
    if run.weights is not None:
        millions = sum(run.weights.parameters.values()) / 1e6
        found.append((f"{millions:.1f} M", "parameters", size_words(run.weights.bytes)))
    steps = max((curve[-1][0] for curve in run.curves.values() if curve), default=None)
    if steps is not None:
        found.append((f"{steps:,}", "steps", "of the optimiser"))
    return [entry for entry in found if entry[0] != MISSING]


def _warnings(run: Run) -> list[HealthLine]:
    """The last line of each rule that asks for something."""
    last = {line.rule: line for line in run.health if line.fix and line.severity != "note"}
    return list(last.values())[:2]


def _length(run: Run) -> list[str]:
    """Whether the run ended too early or too late."""
    scores = run.curves.get("AP", [])
    if len(scores) < 2:
        return []
    best = max(range(len(scores)), key=lambda place: scores[place][1])
    gain = scores[-1][1] - scores[-2][1]
    if best == len(scores) - 1 and gain > STILL_RISING:
        return [
            f"AP was still rising at the end (by {100 * gain:.1f} points from step {scores[-2][0]:,} to "
            f"{scores[-1][0]:,}): train longer."
        ]
    drop = scores[best][1] - scores[-1][1]
    if best < len(scores) - 2 and drop > 2 * STILL_RISING:
        return [
            f"AP was best at step {scores[best][0]:,} and fell by {100 * drop:.1f} points after it: fewer steps, "
            "more augmentation or more pictures."
        ]
    return []


def _weak_classes(run: Run) -> list[str]:
    whole = run.metric("AP")
    if not whole:
        return []
    weak = [row for row in classes(run) if row.AP is not None and WEAK_CLASS * whole > row.AP]
    if not weak:
        return []
    names = ", ".join(
        f"{row.name} ({points(row.AP)})" for row in sorted(weak, key=lambda row: row.AP or 0)[:3]
    )
    more = f" and {len(weak) - 3} more" if len(weak) > 3 else ""
    return [f"Far under the average: {names}{more}. Give them more pictures, and check their labels."]


def _certainty(run: Run) -> list[str]:
    span = interval(run, "AP")
    rare = [row.name for row in classes(run) if row.boxes is not None and 0 < row.boxes < FEW_BOXES]
    found = []
    if span is not None and span[1] - span[0] > WIDE:
        found.append(
            f"The interval of AP is {100 * (span[1] - span[0]):.0f} points wide: smaller differences between runs "
            "mean nothing until there are more validation pictures."
        )
    if rare:
        names = ", ".join(rare[:3]) + (f" and {len(rare) - 3} more" if len(rare) > 3 else "")
        found.append(
            f"Under {FEW_BOXES} validation boxes: {names}. Their figures are hardly more than a guess."
        )
    return found
