"""When two lists of detections are the same."""

from __future__ import annotations

import pytest
import torch

from foveal.metrics.agreement import Agreement, Found, Limits, Tolerance, compare, compare_all, match

TOLERANCE = Tolerance(1e-3, 1e-4)
LIMITS = Limits(0.05, 0.5, 5)
BOXES = [(0.0, 0, 100, 50), (200.0, 200, 240, 300), (300.0, 0, 400, 100), (0.0, 400, 0, 450)]
"""The last is cut to nothing at the border."""


def found(
    boxes: list[tuple[float, ...]] = BOXES,
    scores: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6),
    labels: tuple[int, ...] = (0, 1, 0, 2),
) -> Found:
    return Found(torch.tensor(boxes).view(-1, 4), torch.tensor(scores), torch.tensor(labels))


def agree(ours: Found, theirs: Found) -> tuple[int, int, int]:
    result = compare(ours, theirs, TOLERANCE, LIMITS)
    return result.pairs, result.excused, result.different


def without(place: int) -> Found:
    keep = torch.arange(len(BOXES)) != place
    return Found(*(values[keep] for values in found()))


def test_in_any_order() -> None:
    order = torch.tensor([2, 0, 3, 1])
    mixed = Found(*(values[order] for values in found()))
    assert compare(mixed, found(), TOLERANCE, LIMITS) == Agreement(4, 0.0, 0.0, 0, 0)


def test_largest_differences() -> None:
    moved = found([(0.05, 0, 100, 50), *BOXES[1:]], (0.9, 0.80005, 0.7, 0.6))
    result = compare(moved, found(), TOLERANCE, LIMITS)
    assert result.box == pytest.approx(0.05 / 100, rel=1e-3)
    assert result.score == pytest.approx(5e-5, rel=1e-2)
    assert result.different == 0
    assert str(result) == "4 detections, box 5e-04 of its side, score 5e-05; 0 excused, 0 different"


def test_beyond_the_tolerance() -> None:
    assert agree(found([(0.2, 0, 100, 50), *BOXES[1:]]), found()) == (4, 0, 1)
    assert agree(found(scores=(0.9, 0.801, 0.7, 0.6)), found()) == (4, 0, 1)


def test_missing_or_of_another_class() -> None:
    assert agree(without(1), found()) == (3, 0, 1)
    assert agree(found(), without(1)) == (3, 0, 1)
    assert agree(found(labels=(0, 1, 0, 1)), found()) == (3, 0, 2)


def test_two_of_ours_for_one_of_theirs() -> None:
    doubled = found([BOXES[0], *BOXES], (0.9, 0.9, 0.8, 0.7, 0.6), (0, 0, 1, 0, 2))
    assert agree(doubled, found())[:2] == (4, 0)


def test_excused_at_the_score_threshold() -> None:
    near = found(scores=(0.9, 0.05 + 5e-5, 0.7, 0.6))
    keep = torch.tensor([0, 2, 3])
    assert agree(near, Found(*(values[keep] for values in near))) == (3, 1, 0)


def test_excused_at_the_end_of_a_full_list() -> None:
    boxes, labels = [*BOXES, (500.0, 0, 600, 100)], (0, 1, 0, 2, 2)
    full = found(boxes, (0.9, 0.8, 0.7, 0.6, 0.3), labels)
    other = found([*BOXES, (700.0, 0, 800, 100)], (0.9, 0.8, 0.7, 0.6, 0.30005), labels)
    assert agree(full, other) == (4, 2, 0)
    assert agree(full, other._replace(scores=torch.tensor([0.9, 0.8, 0.7, 0.6, 0.4]))) == (4, 0, 2)


def test_excused_at_the_nms_threshold() -> None:
    """A box that overlaps a kept one of its class by just about the threshold may be kept or dropped."""
    beside = [*BOXES, (100 / 3, 0.0, 400 / 3, 50)]
    assert agree(found(beside, (0.9, 0.8, 0.7, 0.6, 0.5), (0, 1, 0, 2, 0)), found()) == (4, 1, 0)
    assert agree(found(beside, (0.9, 0.8, 0.7, 0.6, 0.5), (0, 1, 0, 2, 1)), found()) == (4, 0, 1)


def test_excused_where_two_boxes_tie() -> None:
    """Of two overlapping boxes of one score, either may drop the other."""
    swapped = found([(10.0, 0, 110, 50), *BOXES[1:]])
    assert agree(swapped, found()) == (3, 2, 0)
    assert agree(swapped._replace(scores=torch.tensor([0.95, 0.8, 0.7, 0.6])), found()) == (3, 0, 2)


def test_nothing_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="0 detections and 4"):
        agree(found([], (), ()), found())
    with pytest.raises(ValueError, match="nothing to compare"):
        agree(found(), found([], (), ()))


def test_the_best_overlap_comes_first() -> None:
    ours = found([(0.0, 0, 100, 100), (0.0, 0, 90, 100)], (0.9, 0.8), (0, 0))
    theirs = found([(0.0, 0, 91, 100), (0.0, 0, 100, 99)], (0.9, 0.8), (0, 0))
    mine, other = match(ours, theirs, 0.5)
    assert dict(zip(mine.tolist(), other.tolist(), strict=True)) == {0: 1, 1: 0}


def test_small_boxes_may_differ_by_some_pixels() -> None:
    """The tolerance of a box is the larger of a share of its side and a number of pixels."""
    moved = found([*BOXES[:3], (0.0, 400.0008, 0.0008, 450)])
    strict, kind = Tolerance(1e-5, 1e-5), Tolerance(1e-5, 1e-5, 1e-3)
    assert compare(moved, found(), strict, LIMITS).different == 1
    assert compare(moved, found(), kind, LIMITS).different == 0
    assert compare(moved, found(), kind, LIMITS).pixels == pytest.approx(8e-4, rel=0.1)
    assert compare(found([(0.0, 0, 100.0011, 50), *BOXES[1:]]), found(), kind, LIMITS).different == 1


def test_many_pictures_together() -> None:
    nothing = found([], (), ())
    total = compare_all([(found(), found()), (nothing, nothing), (without(1), found())], TOLERANCE, LIMITS)
    assert (total.pairs, total.excused, total.different) == (7, 0, 1)
    assert compare_all([(nothing, found())], TOLERANCE, LIMITS).different == 4
    with pytest.raises(ValueError, match="no detection on either side"):
        compare_all([(nothing, nothing)], TOLERANCE, LIMITS)


def test_no_number_is_no_agreement() -> None:
    broken = found(scores=(float("nan"), 0.8, 0.7, 0.6))
    assert compare(broken, found(), TOLERANCE, LIMITS).different == 1
