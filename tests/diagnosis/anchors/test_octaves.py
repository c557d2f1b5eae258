"""Anchors that fit measured boxes."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.diagnosis.anchors.octaves import AnchorFit, best_iou, fit_anchors, ratios_of

PAPER = AnchorFit(
    [[side * 2 ** (octave / 3) for octave in range(3)] for side in (32, 64, 128, 256, 512)], [0.5, 1, 2], 3
)


def boxes(low: float, high: float, ratio: float = 1.0, number: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(low), np.log(high), number))
    ratios = ratio * np.exp(rng.normal(0, 0.2, number))
    return np.stack([sides / np.sqrt(ratios), sides * np.sqrt(ratios)], axis=1)


def covered(shapes: np.ndarray, fit: AnchorFit) -> float:
    """Share of the shapes that an anchor meets with an IoU of 0.5, both on one centre."""
    return float((best_iou(shapes, fit.sizes, fit.aspect_ratios) >= 0.5).mean())


def test_no_ratio_is_nothing() -> None:
    """Lines of text: 400 times as wide as high."""
    wide = np.tile([400.0, 1.0], (20, 1)) * np.linspace(0.9, 1.1, 20)[:, None]
    for count in (1, 2, 3):
        assert all(0 < ratio < 0.01 for ratio in ratios_of(wide, count))


def test_best_iou_by_hand() -> None:
    shapes = np.array([[32.0, 32.0], [16.0, 32.0], [64.0, 64.0]])
    np.testing.assert_allclose(best_iou(shapes, [[32.0]], [1.0]), [1.0, 0.5, 0.25])
    # ratio is height / width: side 32, ratio 4 is 16 wide and 64 high
    np.testing.assert_allclose(best_iou(np.array([[16.0, 64.0]]), [[32.0]], [4.0]), [1.0])


def test_as_good_as_the_papers_own_on_what_they_are_made_for() -> None:
    shapes = boxes(30, 500)
    fit = fit_anchors(shapes)
    assert covered(shapes, fit) >= covered(shapes, PAPER) - 0.01
    assert fit.min_level == 3
    assert fit.min_level + len(fit.sizes) - 1 <= 7


@pytest.mark.parametrize(("low", "high", "ratio"), [(10, 40, 1.0), (20, 60, 3.0), (12, 20, 0.4)])
def test_much_better_on_what_they_miss(low: float, high: float, ratio: float) -> None:
    shapes = boxes(low, high, ratio)
    fit = fit_anchors(shapes)
    assert covered(shapes, fit) > 0.9
    assert covered(shapes, fit) > covered(shapes, PAPER) + 0.1


def test_tiny_objects_start_at_stride_4() -> None:
    fit = fit_anchors(boxes(6, 14))
    assert fit.min_level == 2
    assert covered(boxes(6, 14), fit) > 0.95


def test_levels_reach_the_largest_boxes_and_no_further() -> None:
    assert len(fit_anchors(boxes(16, 60)).sizes) == 3
    assert len(fit_anchors(boxes(16, 480)).sizes) == 5


def test_ratios_are_height_over_width() -> None:
    tall = fit_anchors(boxes(30, 200, ratio=3.0))
    assert tall.aspect_ratios[0] > 1
    wide = fit_anchors(boxes(30, 200, ratio=1 / 3))
    assert wide.aspect_ratios[-1] < 1
