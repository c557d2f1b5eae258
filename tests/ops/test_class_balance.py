"""Alpha of each class from how often it occurs."""

from __future__ import annotations

import pytest

from foveal.ops.class_balance import ALPHA_RANGE, alpha_of_classes


def test_by_the_square_root_with_the_mean_over_boxes() -> None:
    alpha = alpha_of_classes([100, 400])
    assert alpha[0] == pytest.approx(2 * alpha[1])
    assert (100 * alpha[0] + 400 * alpha[1]) / 500 == pytest.approx(0.25)


def test_equal_classes_have_the_mean() -> None:
    assert alpha_of_classes([7, 7, 7], 0.4) == pytest.approx([0.4] * 3)


def test_limits_and_classes_without_boxes() -> None:
    rare, common, none = alpha_of_classes([1, 1_000_000, 0])
    assert rare == ALPHA_RANGE[1]
    assert ALPHA_RANGE[0] <= common < 0.26
    assert none == 0.25
    assert alpha_of_classes([0, 0]) == [0.25, 0.25]
    assert alpha_of_classes([]) == []
