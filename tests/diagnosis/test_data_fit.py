"""Canvas and length from a data set's own figures."""

from __future__ import annotations

import numpy as np
import pytest

from foveal.data.sampler import BatchSampler
from foveal.data.shapes import make_shapes
from foveal.diagnosis.data_fit import BATCH_SIZE, fit_canvas, fit_data, fit_length


def canvas(width: int, height: int, side: float) -> tuple[int, int, bool]:
    sizes = np.full(10, height), np.full(10, width)
    fit = fit_canvas(*sizes, np.full(30, side / max(width, height)))
    assert fit.height % 32 == fit.width % 32 == 0
    return fit.height, fit.width, fit.capped


@pytest.mark.parametrize(
    ("width", "height", "side", "expected"),
    [
        (640, 480, 102, (320, 416, False)),  # 64 px for the median box: 402 px, rounded up
        (480, 640, 102, (416, 320, False)),
        (2048, 1371, 150, (352, 512, True)),  # would need 874 px
        (160, 160, 40, (160, 160, False)),  # never larger than the pictures
        (4000, 3000, 3000, (256, 320, False)),  # never smaller than 320
    ],
)
def test_canvas(width: int, height: int, side: float, expected: tuple[int, int, bool]) -> None:
    assert canvas(width, height, side) == expected


def test_square_where_both_orientations_occur() -> None:
    heights, widths = np.array([480, 640] * 5), np.array([640, 480] * 5)
    fit = fit_canvas(heights, widths, np.full(10, 0.2))
    assert fit.height == fit.width


@pytest.mark.parametrize(
    ("pictures", "epochs", "steps", "every"),
    [(205, 40, 1000, 4), (32, 100, 400, 10), (100_000, 12, 150_000, 1), (1, 100, 100, 10)],
)
def test_length(pictures: int, epochs: int, steps: int, every: int) -> None:
    """Steps are those that the loader makes of that many pictures."""
    assert steps == epochs * len(BatchSampler(pictures, BATCH_SIZE, (32, 32), drop_last=True))
    fit = fit_length(pictures, 416 * 312)
    assert (fit.epochs, fit.steps, fit.validate_every) == (epochs, steps, every)
    assert fit.minutes == pytest.approx(steps * 2.6 / 60)


def test_boxes_are_measured_on_the_canvas() -> None:
    records = make_shapes(40, 3, 640, 0, 0.1)
    fit = fit_data(records)
    sides = np.sqrt((records.boxes[:, 2:] - records.boxes[:, :2]).prod(axis=1))
    zoom = fit.canvas.width / 640
    assert zoom < 1
    assert fit.median_side == pytest.approx(float(np.median(sides)) * zoom)
    assert fit.small_side == pytest.approx(float(np.quantile(sides, 0.1)) * zoom)
    assert fit.anchors.sizes[0][0] < np.quantile(sides * zoom, 0.2)
