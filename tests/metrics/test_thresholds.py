"""Best-F1 thresholds against a search over every threshold."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.metrics.columns import DetectionColumns
from foveal.metrics.thresholds import best_f1_thresholds
from foveal.types import ClassNames, GroundTruth


def _truth(boxes: list[list[float]], labels: list[int]) -> GroundTruth:
    rows = np.array(boxes, dtype=float).reshape(-1, 4)
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    side = np.array([1000])
    offsets = np.array([0, len(rows)])
    crowd = np.zeros(len(rows), dtype=bool)
    names = ClassNames(("cat", "dog"), (1, 2))
    return GroundTruth(np.array([7]), side, side, offsets, rows, np.array(labels), crowd, area, names)


def _found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> DetectionColumns:
    ids = np.full(len(boxes), 7)
    return DetectionColumns(
        ids, np.array(boxes, dtype=float).reshape(-1, 4), np.array(scores), np.array(labels), np.array([7])
    )


def _grid(count: int) -> list[list[float]]:
    return [[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(count)]


def test_perfect_detections_are_all_kept() -> None:
    boxes = _grid(4)
    limits = best_f1_thresholds(_truth(boxes, [0] * 4), _found(boxes, [0.9, 0.8, 0.7, 0.6], [0] * 4))
    assert set(limits) == {"cat"}
    assert limits["cat"] < 0.6


def test_wrong_tail_is_cut_off() -> None:
    boxes = _grid(2)
    wrong = [[500.0, 500.0, 510.0, 510.0]] * 3
    found = _found(boxes + wrong, [0.9, 0.5, 0.3, 0.2, 0.1], [1] * 5)
    assert 0.3 <= best_f1_thresholds(_truth(boxes, [1, 1]), found)["dog"] < 0.5


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = _grid(12)
    shift = [
        [x1 + d, y1, x2 + d, y2] for (x1, y1, x2, y2), d in zip(boxes, rng.uniform(0, 6, 12), strict=True)
    ]
    scores = np.round(rng.uniform(0.05, 1, 12), 1)
    truth, found = _truth(boxes, [0] * 12), _found(shift, list(scores), [0] * 12)
    chosen = best_f1_thresholds(truth, found).get("cat")

    def f1(limit: float) -> float:
        kept = scores > limit
        overlap = np.array(
            [(10 - (s[0] - b[0])) / (10 + s[0] - b[0]) for s, b in zip(shift, boxes, strict=True)]
        )
        right = int((kept & (overlap >= 0.5)).sum())
        return 2 * right / (kept.sum() + 12)

    every = [f1(limit) for limit in np.linspace(0, 1, 201)]
    assert (chosen is None and max(every) == 0) or f1(chosen) == pytest.approx(max(every))


def test_class_without_a_correct_detection_has_none() -> None:
    found = _found([[500.0, 500.0, 510.0, 510.0]], [0.9], [0])
    assert best_f1_thresholds(_truth(_grid(2), [0, 1]), found) == {}
