"""What happened from step to step: curves of metrics.csv, several runs in one frame."""

from __future__ import annotations

import re
from collections.abc import Sequence

from foveal.diagnosis.report.blocks import Block, Figures, Fold, Note, Section
from foveal.diagnosis.report.charts.lines import Line, line_chart
from foveal.diagnosis.report.charts.svg import Figure
from foveal.diagnosis.report.gather import Run
from foveal.diagnosis.report.metrics_file import Points

LEAD = "Every number that was logged, over the steps of the optimiser."
SCORES = ("AP", "AP50", "AP75")
COCO = {*SCORES, "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}
LEVEL = re.compile(r"positives_stride_(\d+)")
PER_CLASS = re.compile(r".+\.\d+")
KNOWN = {
    "rate": ("Learning rate", ""),
    "positives": ("Anchors that are objects, per picture", "Without any, a picture teaches only background."),
    "gradient_norm": ("Gradient norm", "Before it is clipped."),
    "data_wait": (
        "Waiting for data",
        "Share of the time; high: more loader workers, or smaller pictures on disk.",
    ),
    "ignored": ("Anchors without a loss, per picture", ""),
    "skipped_steps": ("Steps left out so far", "Their loss or gradient was not finite."),
    "clipped_steps": ("Share of steps whose gradient was clipped", ""),
    "boxes_unmatched": ("Boxes without an anchor, per picture", ""),
    "pictures_unmatched": ("Share of pictures in which no box has an anchor", ""),
    "cls_share_objects": ("Class loss that objects give", "As a share."),
    "cls_share_hard": ("Class loss that hard background gives", "As a share."),
    "cls_share_easy": ("Class loss that easy background gives", "As a share; focal loss keeps it small."),
}
FIRST = ("rate", "positives", "gradient_norm", "pictures_unmatched", "data_wait")
"""Shown at once; the others are folded away."""


def training(runs: Sequence[Run]) -> Section | None:
    """Losses, validation, learning rate, positives, gradients, and whatever else was logged."""
    if not any(run.curves for run in runs):
        return Section(
            "training", "Training", LEAD, [Note("No metrics.csv in this run: there are no curves.")]
        )
    once = _once(runs)
    runs = [
        run._replace(curves={name: points for name, points in run.curves.items() if name not in once})
        for run in runs
    ]
    one = runs[0] if len(runs) == 1 else None
    first = [*_losses(runs), *_scores(runs)]
    used = set(COCO) | {"loss", *_parts(runs), *(f"val_{name}" for name in ("loss", *_parts(runs)))}
    if one is not None and (levels := _levels(one)) is not None:
        first.append(levels)
        used |= {"positives", *(name for name in one.curves if LEVEL.fullmatch(name))}
    names = list(dict.fromkeys(name for run in runs for name in run.curves if name not in used))
    plain = [name for name in names if not PER_CLASS.fullmatch(name)]
    ordered = [name for name in FIRST if name in plain] + [name for name in plain if name not in FIRST]
    charts = {name: _one(runs, name) for name in ordered}
    first += [charts[name] for name in ordered if name in FIRST and _moves(runs, name)]
    rest = [charts[name] for name in ordered if name not in FIRST and _moves(runs, name)]
    flat = [name for name in ordered if not _moves(runs, name)]
    blocks: list[Block] = [Figures(first)] if first else []
    if rest:
        blocks.append(Fold(f"{len(rest)} more curves", [Figures(rest)]))
    if flat:
        blocks.append(
            Note("The same from beginning to end: " + ", ".join(_flat(runs, name) for name in flat))
        )
    if once:
        blocks.append(Note(f"Logged once, which makes no curve: {'; '.join(once.values())}."))
    return Section("training", "Training", LEAD, blocks)


def _once(runs: Sequence[Run]) -> dict[str, str]:
    """Columns of which no run has more than one value, and these in words."""
    names = dict.fromkeys(name for run in runs for name in run.curves)
    shown = [name for name in names if name not in COCO.difference(SCORES) and not PER_CLASS.fullmatch(name)]
    found = {}
    for name in shown:
        curves = [(run, run.curves[name]) for run in runs if run.curves.get(name)]
        if curves and all(len(points) == 1 for _, points in curves):
            factor = 100 if name in SCORES else 1
            values = [
                f"{f'{run.name} ' if len(runs) > 1 else ''}{factor * value:.4g} at step {step:,}"
                for run, [(step, value)] in curves
            ]
            found[name] = f"{_title(name)} {', '.join(values)}"
    return found


def _losses(runs: Sequence[Run]) -> list[Figure]:
    """One run: the parts in one frame, training whole and validation broken; several: a frame for each part."""
    parts = _parts(runs)
    names = ["loss", *parts]
    if len(runs) == 1:
        curves = runs[0].curves
        lines = [
            Line(_loss_name(name), curves[name], place) for place, name in enumerate(names) if name in curves
        ]
        lines += [
            Line(f"{_loss_name(name)}, validation", curves[f"val_{name}"], place, dashed=True)
            for place, name in enumerate(names)
            if f"val_{name}" in curves
        ]
        return [line_chart("Loss", lines, "step", (0.0, None), _span(runs), log=None)] if lines else []
    return [
        _overlaid(
            runs, name, f"Loss: {_loss_name(name)}" if name != "loss" else "Loss, training", (0.0, None)
        )
        for name in names
        if any(name in run.curves for run in runs)
    ] + (
        [_overlaid(runs, "val_loss", "Loss, validation", (0.0, None))]
        if any("val_loss" in run.curves for run in runs)
        else []
    )


def _scores(runs: Sequence[Run]) -> list[Figure]:
    if len(runs) == 1:
        curves = runs[0].curves
        lines = [
            Line(name, _in_points(curves[name]), place) for place, name in enumerate(SCORES) if name in curves
        ]
        note = "Of 100; on the validation pictures."
        return (
            [line_chart("Average precision", lines, "step", (0.0, None), _span(runs), note=note)]
            if lines
            else []
        )
    return [
        line_chart(
            f"{name} on validation",
            _lines(runs, name, 100.0),
            "step",
            (0.0, None),
            _span(runs),
            note="Of 100.",
        )
        for name in SCORES[:2]
        if any(name in run.curves for run in runs)
    ]


def _levels(run: Run) -> Figure | None:
    """Positives of each pyramid level, and of all."""
    found = sorted((int(match[1]), name) for name in run.curves if (match := LEVEL.fullmatch(name)))
    if not found or "positives" not in run.curves:
        return None
    lines = [Line("all levels", run.curves["positives"], 7)]
    lines += [
        Line(f"P{stride.bit_length() - 1} (stride {stride})", run.curves[name], place)
        for place, (stride, name) in enumerate(found)
    ]
    return line_chart(
        "Anchors that are objects, per picture", lines, "step", (0.0, None), _span([run]),
        note="A level that stays at zero learns no object.",
    )  # fmt: skip


def _title(name: str) -> str:
    if match := LEVEL.fullmatch(name):
        return f"Objects on P{int(match[1]).bit_length() - 1} (stride {match[1]}), per picture"
    return KNOWN[name][0] if name in KNOWN else name.replace("_", " ")


def _one(runs: Sequence[Run], name: str) -> Figure:
    title, note = _title(name), KNOWN.get(name, ("", ""))[1]
    bounds = (
        (0.0, None)
        if all(value >= 0 for run in runs for _, value in run.curves.get(name, ()))
        else (None, None)
    )
    log = None if name == "gradient_norm" else False
    return line_chart(title, _lines(runs, name), "step", bounds, _span(runs), log=log, note=note)


def _overlaid(
    runs: Sequence[Run], name: str, title: str, bounds: tuple[float | None, float | None]
) -> Figure:
    return line_chart(title, _lines(runs, name), "step", bounds, _span(runs), log=None)


def _lines(runs: Sequence[Run], name: str, factor: float = 1.0) -> list[Line]:
    return [
        Line(run.name, [(step, factor * value) for step, value in run.curves[name]], run.place)
        for run in runs
        if name in run.curves
    ]


def _span(runs: Sequence[Run]) -> tuple[float, float]:
    """From 0 to the last step of all: every frame has the same scale."""
    last = max((points[-1][0] for run in runs for points in run.curves.values() if points), default=1)
    return 0.0, float(max(1, last))


def _parts(runs: Sequence[Run]) -> list[str]:
    """The losses that are summed: names that validation has too, or the usual ones."""
    names = dict.fromkeys(name for run in runs for name in run.curves)
    return [name for name in names if name != "loss" and (f"val_{name}" in names or name in ("cls", "box"))]


def _loss_name(name: str) -> str:
    return {"loss": "total", "cls": "class", "box": "box"}.get(name, name)


def _in_points(points: Points) -> list[tuple[float, float]]:
    return [(float(step), 100 * value) for step, value in points]


def _moves(runs: Sequence[Run], name: str) -> bool:
    """Whether a column ever changes: one that does not is no curve."""
    values = {value for run in runs for _, value in run.curves.get(name, ())}
    return len(values) > 1


def _flat(runs: Sequence[Run], name: str) -> str:
    value = next(value for run in runs for _, value in run.curves.get(name, ()))
    return f"{_title(name)} ({value:g})"
