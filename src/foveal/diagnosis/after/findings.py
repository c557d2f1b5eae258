"""What an evaluation says, in plain words: where the points are lost and what usually helps."""

from __future__ import annotations

from foveal.diagnosis.after.analysis import Analysis
from foveal.diagnosis.finding import Finding, Severity
from foveal.grammar import many
from foveal.metrics.errors import ERROR_KINDS, ErrorKind
from foveal.runtime.predictor import DEFAULT_THRESHOLD
from foveal.types import Array

WORTH_POINTS = 0.1
"""AP50 points from which a kind of error is worth a line."""
WARN_POINTS = 2.0
WIDE = 0.05
"""Width of the AP interval from which a person is told to mind it."""
CALIBRATION = 0.1
HARDLY = 0.05
"""AP50 under which the kinds of errors are those of chance."""
LITTLE, FEW = 0.2, 0.1
"""AP50, and share of the boxes found over the thresholds, under both of which they are those of a handful: a
box that is found under the thresholds counts as no error of any kind."""

MEANING: dict[ErrorKind, str] = {
    "class": "on a box of another class",
    "location": "on a box of their class, but badly placed (IoU under 0.5)",
    "both": "near a box of another class and badly placed",
    "duplicate": "on a box that a better detection has found",
    "background": "on nothing",
    "missed": "that no detection finds",
}
HELP: dict[ErrorKind, str] = {
    "class": "look at the confusion matrix and the gallery wrong_class (labels may be wrong); more pictures of "
    "both, a larger backbone, or one class for both",
    "location": "see the galleries box_off and missing_label (a box on a neighbour without a label counts here); "
    "train longer, box loss giou, anchors that fit (foveal doctor --fit-anchors)",
    "both": "rarely worth work of its own: it falls with class and location errors",
    "duplicate": "a lower model.postprocessor.params.nms_thresh, or class_agnostic where classes share a box",
    "background": "look at the gallery missing_label first, as an object without a label counts as an error; then "
    "add pictures of what is mistaken, without boxes",
    "missed": "look at the gallery misses; a larger image_size or anchors for small boxes (foveal doctor "
    "--fit-anchors), more pictures of the class",
}


def findings(result: Analysis) -> list[Finding]:
    """Errors by price, largest first; then doubts about the figures themselves."""
    priced = sorted(ERROR_KINDS, key=lambda kind: -result.errors.points[kind])
    rows = [_error(result, kind) for kind in priced if result.errors.points[kind] >= WORTH_POINTS]
    return (
        _hardly_learned(result)
        + _nothing_kept(result)
        + rows
        + _confused(result)
        + _unreached(result)
        + _wide(result)
        + _calibration(result)
    )


def _hardly_learned(result: Analysis) -> list[Finding]:
    interval, counts = result.intervals.AP50, result.confusion.counts
    if interval is None:
        return []
    text = f"AP50 {interval.value:.3f}"
    if interval.value >= HARDLY:
        found, boxes = int(counts[:-1, :-1].trace()), int(counts[:-1].sum())
        if interval.value >= LITTLE or found >= FEW * boxes:
            return []
        text += f", and {found} of {many(boxes, 'box', 'boxes')} found over the thresholds"
    text += ": the model has learned next to nothing, so the kinds of its errors say little"
    fix = "train longer; where that does not help, foveal doctor CONFIG --overfit names the cause"
    return [Finding("hardly_learned", "warning", "", text, fix)]


def _nothing_kept(result: Analysis) -> list[Finding]:
    """The counts over the thresholds are all 0 then, and without this line a riddle."""
    if result.kept.any():
        return []
    matching, names = result.errors.matching, result.truth.classes.names
    if not len(matching.scores):
        text = "the model gives no detection on these pictures: no score is over its score_thresh"
        return [Finding("nothing_kept", "warning", "", text, "train longer")]
    best = names[matching.labels[0]]
    limit = result.thresholds.values.get(best, DEFAULT_THRESHOLD)
    text = (
        f"nothing scores over the thresholds: the best score is {matching.scores[0]:.2f} ({best}), "
        f"its threshold {limit:.2f}"
    )
    fix = "train longer, or take --thresholds f1; foveal predict --all shows what there is"
    return [Finding("nothing_kept", "warning", "", text, fix)]


def _error(result: Analysis, kind: ErrorKind) -> Finding:
    split = result.errors
    points = split.points[kind]
    severity: Severity = "warning" if points >= WARN_POINTS else "note"
    worst = sorted((row for row in split.per_class if row.points), key=lambda row: -row.points[kind])
    if kind == "missed":
        boxes = sum(row.boxes for row in split.per_class)
        lost = [f"{row.counts[kind]} of {row.boxes} {row.name}" for row in worst[:3] if row.counts[kind]]
        text = f"{split.counts[kind]} of {many(boxes, 'box', 'boxes')} {MEANING[kind]} ({', '.join(lost)})"
    else:
        over = int((result.kept & (split.kinds == kind)).sum())
        priced = [(row.name, row.points[kind]) for row in worst[:3] if row.points[kind] >= WORTH_POINTS]
        if over:
            text = f"{many(over, 'detection')} over the thresholds {MEANING[kind]}"
            text += f", {split.counts[kind]} at any score"
        else:
            text = (
                f"{many(split.counts[kind], 'detection')} {MEANING[kind]}, none of them over the thresholds"
            )
        if len(split.per_class) > 1 and priced:
            text += f" (by class: {', '.join(f'{name} {value:.1f}' for name, value in priced)})"
    return Finding(f"errors_{kind}", severity, "", f"{kind} {points:.1f} points of AP50: {text}", HELP[kind])


def _confused(result: Analysis) -> list[Finding]:
    """The pair of classes that is confused most often."""
    counts: Array = result.confusion.counts[:-1, :-1].copy()
    names = result.confusion.names
    for k in range(len(names)):
        counts[k, k] = 0
    if not counts.any():
        return []
    row, column = divmod(int(counts.argmax()), len(names))
    boxes = int(result.confusion.counts[row].sum())
    text = f"{counts[row, column]} of {boxes} {names[row]} taken for {names[column]}, the most of any pair"
    fix = "look at both labels in the gallery wrong_class"
    return [Finding("confused_classes", "note", names[row], text, fix)]


def _unreached(result: Analysis) -> list[Finding]:
    return [
        Finding(
            "precision_unreached",
            "warning",
            name,
            f"{name} never reaches {result.rule}: the best is {best:.2f}; its threshold is 1, it is never shown",
            "ask for a lower precision, or take --thresholds f1",
        )
        for name, best in result.thresholds.unreached.items()
    ]


def _wide(result: Analysis) -> list[Finding]:
    interval = result.intervals.AP
    if interval is None or interval.high - interval.low < WIDE:
        return []
    width, pictures = interval.high - interval.low, many(result.intervals.pictures, "picture")
    text = (
        f"AP {interval.value:.3f} lies between {interval.low:.3f} and {interval.high:.3f}: {pictures} cannot tell "
        f"models apart that differ by less than about {width / 2:.2f}"
    )
    fix = "compare on more pictures, or pair by pair on the same (foveal.metrics.intervals.paired_difference)"
    return [Finding("wide_interval", "note", "", text, fix)]


def _calibration(result: Analysis) -> list[Finding]:
    table = result.calibration
    if table.error is None or table.error < CALIBRATION:
        return []
    full = [row for row in table.bins if row.score is not None and row.correct is not None]
    gap = sum(row.detections * (float(row.score or 0) - float(row.correct or 0)) for row in full)
    way = "too high" if gap > 0 else "too low"
    text = f"scores are {way}: {table.error:.2f} off the share that is right, in the mean over all detections"
    return [
        Finding(
            "calibration", "note", "", text, "do not read a score as a probability; act by the thresholds"
        )
    ]
