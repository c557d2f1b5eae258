"""Everything that is measured of a model after training, from one set of detections; plain numbers for JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from foveal.metrics.calibration import Reliability, reliability
from foveal.metrics.coco import CocoEvaluator, SizeResult
from foveal.metrics.columns import DetectionColumns
from foveal.metrics.confusion import Confusion, confusion_matrix, kept_by
from foveal.metrics.curves import class_curve, thinned
from foveal.metrics.errors import ErrorSplit, split_errors
from foveal.metrics.intervals import SAMPLES, Interval, Intervals, metric_intervals
from foveal.metrics.matching import COCO_THRESHOLDS, match_detections
from foveal.metrics.sizes import RecallBin, recall_by_crowd, recall_by_size
from foveal.metrics.thresholds import ThresholdRule, Thresholds, choose_thresholds
from foveal.runtime.predictor import DEFAULT_THRESHOLD
from foveal.types import Array, GroundTruth

DECIMALS = 8
STORED = "stored"
"""Rule name of thresholds that came with the checkpoint."""


class Analysis(NamedTuple):
    """What there is to say about a set of detections beyond the twelve numbers."""

    truth: GroundTruth
    found: DetectionColumns
    intervals: Intervals
    errors: ErrorSplit
    thresholds: Thresholds
    rule: str
    """``f1``, ``precision=...`` or ``stored``."""
    kept: Array
    """[D] bool, in the order of ``errors.matching``: over the thresholds."""
    confusion: Confusion
    calibration: Reliability
    class_calibration: list[Reliability]
    sizes: list[SizeResult]
    size_recall: list[RecallBin]
    crowd_recall: list[RecallBin]


def analyse(
    evaluator: CocoEvaluator,
    stored: Mapping[str, float] | None = None,
    rule: ThresholdRule | None = None,
    samples: int = SAMPLES,
) -> Analysis:
    """Measure the detections that an evaluator has collected.

    stored: a checkpoint's thresholds, taken where no rule is given; rule: chosen on these pictures, by default
    best F1. A class without a threshold has ``DEFAULT_THRESHOLD``, as in ``Predictor``.
    """
    truth, found = evaluator.ground_truth, evaluator.columns()
    names = truth.classes.names
    every = match_detections(truth, found, COCO_THRESHOLDS)
    errors = split_errors(truth, found, every.at(0))
    matching = errors.matching
    if rule is None and stored:
        thresholds = Thresholds({name: stored[name] for name in names if name in stored}, {})
    else:
        thresholds = choose_thresholds(matching, names, rule or ThresholdRule())
    kept = kept_by(matching, names, thresholds.values, DEFAULT_THRESHOLD)
    return Analysis(
        truth,
        found,
        metric_intervals(truth, found, samples, matching=every),
        errors,
        thresholds,
        STORED if rule is None and stored else str(rule or ThresholdRule()),
        kept,
        confusion_matrix(truth, found, matching, kept),
        reliability(matching),
        [reliability(matching, label) for label in range(len(names))],
        evaluator.per_class_sizes(),
        recall_by_size(truth, matching, kept),
        recall_by_crowd(truth, matching, kept),
    )


def as_json(result: Analysis) -> dict[str, Any]:
    """The sections of ``evaluation.json``, as ``docs/evaluation.md`` describes them."""
    names = result.truth.classes.names
    return {
        "intervals": _intervals(result.intervals, result.truth),
        "errors": _errors(result.errors),
        "confusion": {
            "names": [*names, None],
            "counts": result.confusion.counts.tolist(),
            "iou": 0.5,
        },
        "curves": [_curve(result, label, name) for label, name in enumerate(names)],
        "calibration": {
            **_reliability(result.calibration),
            "per_class": [
                {"name": name, **_reliability(row)}
                for name, row in zip(names, result.class_calibration, strict=True)
            ],
        },
        "thresholds": {
            "rule": result.rule,
            "values": result.thresholds.values,
            "unreached": result.thresholds.unreached,
            "default": DEFAULT_THRESHOLD,
        },
        "by_size": {
            "per_class": [row._asdict() for row in result.sizes],
            "recall_by_size": [row._asdict() for row in result.size_recall],
            "recall_by_boxes_in_picture": [row._asdict() for row in result.crowd_recall],
        },
    }


def _intervals(rows: Intervals, truth: GroundTruth) -> dict[str, Any]:
    """With AP on every draw, and of which labels: two files of equal labels give the paired difference."""
    names = truth.classes.names
    return {
        "share": 0.95,
        "samples": rows.samples,
        "pictures": rows.pictures,
        "AP": _interval(rows.AP),
        "AP50": _interval(rows.AP50),
        "APs": _interval(rows.APs),
        "APm": _interval(rows.APm),
        "APl": _interval(rows.APl),
        "per_class": [
            {"name": name, "AP": _interval(row)} for name, row in zip(names, rows.per_class, strict=True)
        ],
        "draws": [None if np.isnan(value) else round(float(value), DECIMALS) for value in rows.draws],
        "labels": labels_digest(truth),
    }


def labels_digest(truth: GroundTruth) -> str:
    """The same for the same pictures and boxes in the same order, whatever folder they lie in."""
    digest = hashlib.sha256("\0".join(truth.classes.names).encode(errors="replace"))
    for column in (truth.image_ids, truth.offsets, truth.boxes, truth.labels, truth.crowd):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval._asdict()


def _errors(split: ErrorSplit) -> dict[str, Any]:
    return {
        "iou": 0.5,
        "background_iou": 0.1,
        "AP50": split.AP50,
        "points": split.points,
        "false_positive": split.false_positive,
        "false_negative": split.false_negative,
        "counts": split.counts,
        "per_class": [row._asdict() for row in split.per_class],
    }


def _curve(result: Analysis, label: int, name: str) -> dict[str, Any]:
    curve = thinned(class_curve(result.errors.matching, label))
    columns = ("threshold", "precision", "recall", "f1")
    rows = {column: values.tolist() for column, values in zip(columns, curve[:4], strict=True)}
    return {"name": name, "boxes": curve.positives, **rows}


def _reliability(table: Reliability) -> dict[str, Any]:
    return {"error": table.error, "bins": [row._asdict() for row in table.bins]}
