"""Both sides of the training row do the same work: their losses agree step by step."""

from __future__ import annotations

import pytest
import torch

from foveal.bench.case import Setup
from foveal.bench.training_step import BOXES, SIZE, cases, difference, make_batch


def test_a_batch_has_boxes_inside_its_pictures() -> None:
    images, targets = make_batch(2, SIZE)
    assert images.shape == (2, 3, SIZE, SIZE)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(images[0], images[1])
    for target in targets:
        assert target.boxes.shape == (BOXES, 4)
        assert ((target.boxes[:, 2:] - target.boxes[:, :2]) > 8).all()
        assert target.boxes.min() >= 0
        assert target.boxes.max() <= SIZE


def test_the_losses_are_torchvisions() -> None:
    """Same weights, anchors, rule of assignment and normaliser: in fp32 only rounding is left."""
    fp32 = next(case for case in cases(Setup(quick=True)) if case.name.endswith("fp32"))
    ours, baseline = fp32.ours(), fp32.baseline()
    assert len(ours) == len(baseline) == 1
    assert ours[0] == pytest.approx(baseline[0], rel=1e-4)
    assert min(baseline[0]) > 0.1
    assert len(fp32.ours()) == 2
    assert fp32.ours()[2] != ours[0], "nothing is learnt"


def test_the_difference_is_over_the_steps_that_both_made() -> None:
    words = difference(7, [(1.0, 2.0), (1.0, 1.0)], [(1.0, 1.0), (2.0, 1.0), (9.0, 9.0)])
    assert words == "class loss 5e-01, box loss 1e+00 of 7 boxes, over 2 steps"


@pytest.mark.parametrize(("ours", "baseline"), [([], []), ([(1.0, 1.0)], [(1.0, 0.0)])])
def test_nothing_to_compare(ours: list[tuple[float, float]], baseline: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="no losses"):
        difference(7, ours, baseline)
