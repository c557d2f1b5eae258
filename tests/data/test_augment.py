"""Augmentation: boxes stay on what they mark, whatever happens to the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.config.schema import Augment
from foveal.data import augment as A
from foveal.data.augment import Sample
from foveal.ops.letterbox import PAD_VALUE, apply_boxes, apply_letterbox, fit_letterbox

OFF = Augment(horizontal_flip=0, min_visible=0)
# Far apart in every channel, so that each is found again after resizing.
COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)


def rectangles(height: int = 150, width: int = 200) -> Sample:
    """Three rectangles, each in a colour of its own, on black."""
    boxes = torch.tensor([[12.0, 9, 70, 60], [90, 20, 180, 64], [35, 80, 120, 139]])
    image = torch.zeros((3, height, width), dtype=torch.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes.int().tolist(), COLOURS, strict=True):
        image[:, y1:y2, x1:x2] = colour[:, None, None]
    return Sample(image, boxes, torch.arange(3), torch.zeros(3, dtype=torch.bool))


def extents(image: Tensor, label: int) -> Tensor | None:
    """Box of the pixels that have a label's colour."""
    others = [channel for channel in range(3) if channel != label]
    here = (image[label] > 127) & (image[others] < 60).all(0)
    if not here.any():
        return None
    rows, columns = here.any(1).nonzero()[:, 0], here.any(0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def assert_boxes_fit(sample: Sample, tolerance: float = 1.5) -> None:
    assert sample.image.dtype == torch.uint8
    assert sample.boxes.dtype == torch.float32
    for box, label in zip(sample.boxes, sample.labels.tolist(), strict=True):
        found = extents(sample.image, label)
        assert found is not None, f"box {box.tolist()} marks nothing"
        torch.testing.assert_close(box, found, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"horizontal_flip": 1.0},
        {"vertical_flip": 1.0},
        {"rotate_90": 1.0},
        {"scale_jitter": (0.4, 2.5)},
        {"crop": 1.0},
        {
            "rotate_90": 0.5,
            "crop": 0.5,
            "scale_jitter": (0.6, 1.7),
            "horizontal_flip": 0.5,
            "vertical_flip": 0.5,
        },
    ],
    ids=lambda settings: "+".join(settings),
)
@pytest.mark.parametrize("canvas", [(160, 160), (96, 256)])
def test_boxes_stay_on_their_objects(settings: dict[str, Any], canvas: tuple[int, int]) -> None:
    kept = 0
    for seed in range(40):
        options = Augment(**{"horizontal_flip": 0, "min_visible": 0.1, **settings})
        out, letterbox = A.augment(rectangles(), canvas, options, np.random.default_rng(seed))
        assert out.size == canvas
        assert_boxes_fit(out)
        kept += len(out.boxes)
        inside = torch.tensor([letterbox.left, letterbox.top, letterbox.left, letterbox.top])
        placed = out.boxes - inside
        assert (placed >= 0).all()
        assert (placed <= torch.tensor([letterbox.width, letterbox.height] * 2) + 1e-3).all()
    assert kept > 40, "nearly every box was lost"


def beside_padding(image: torch.Tensor, box: torch.Tensor) -> bool:
    """Whether padding lies within two pixels of the box."""
    x1, y1, x2, y2 = box.int().tolist()
    window = image[:, max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2]
    return bool((window == PAD_VALUE).all(0).any())


def test_no_object_loses_its_box() -> None:
    """The other way round: what is still wholly visible is still labelled."""
    options = Augment(horizontal_flip=0.5, scale_jitter=(0.5, 2.0), crop=0.5, min_visible=0.3)
    for seed in range(40):
        out, _ = A.augment(rectangles(), (160, 160), options, np.random.default_rng(seed))
        for label in set(range(3)) - set(out.labels.tolist()):
            found = extents(out.image, label)
            if found is not None:
                height, width = out.size
                x1, y1, x2, y2 = found.tolist()
                at_rim = x1 == 0 or y1 == 0 or x2 == width or y2 == height
                assert at_rim or beside_padding(out.image, found), (
                    f"seed {seed}: object {label} is visible but has no box"
                )


def test_mosaic_joins_four_pictures() -> None:
    options = Augment(horizontal_flip=0.5, scale_jitter=(0.7, 1.4), min_visible=0.25)
    for seed in range(30):
        # One object each, so that its colour tells where it went.
        fours = [rectangles()] * 3
        samples = [
            s._replace(image=only(s, k), boxes=s.boxes[[k]], labels=s.labels[[k]], crowd=s.crowd[[k]])
            for k, s in enumerate(fours)
        ]
        empty = Sample(
            torch.zeros((3, 80, 60), dtype=torch.uint8),
            torch.zeros((0, 4)),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.bool),
        )
        out, letterbox = A.mosaic([*samples, empty], (160, 192), options, np.random.default_rng(seed))
        assert out.size == (160, 192) == (letterbox.height, letterbox.width)
        assert_boxes_fit(out)
    with pytest.raises(ValueError, match="4 pictures"):
        A.mosaic(samples, (160, 192), options, np.random.default_rng(0))


def only(sample: Sample, label: int) -> Tensor:
    image = torch.zeros_like(sample.image)
    image[label] = sample.image[label]
    return image


@pytest.mark.parametrize("flip", [A.horizontal_flip, A.vertical_flip])
def test_flips_are_involutions(flip: Any) -> None:
    sample = rectangles(141, 207)
    once, twice = flip(sample), flip(flip(sample))
    assert not torch.equal(once.image, sample.image)
    assert torch.equal(twice.image, sample.image)
    assert torch.equal(twice.boxes, sample.boxes)
    assert_boxes_fit(once, 0)


def test_four_quarters_are_a_whole_turn() -> None:
    sample = rectangles(141, 207)
    for quarters in range(4):
        turned = A.rotate_90(sample, quarters)
        assert turned.size == ((141, 207) if quarters % 2 == 0 else (207, 141))
        assert_boxes_fit(turned, 0)
        back = A.rotate_90(turned, 4 - quarters)
        assert torch.equal(back.image, sample.image)
        assert torch.equal(back.boxes, sample.boxes)


def test_min_visible_is_a_share_of_the_whole_box() -> None:
    # Cut at x = 100: 0 is whole, 1 keeps a tenth, 2 keeps (100 - 35) / 85 of its area.
    cropped = A.crop(rectangles(), (0, 0, 99, 150))
    assert A.keep_visible(cropped, 0.0).labels.tolist() == [0, 1, 2]
    assert A.keep_visible(cropped, 0.11).labels.tolist() == [0, 2]
    assert A.keep_visible(cropped, 0.75).labels.tolist() == [0, 2]
    assert A.keep_visible(cropped, 0.76).labels.tolist() == [0]
    kept = A.keep_visible(cropped, 0.5)
    torch.testing.assert_close(kept.boxes, torch.tensor([[12.0, 9, 70, 60], [35, 80, 99, 139]]))


def test_crowd_stays_while_any_part_is_seen() -> None:
    sample = rectangles()._replace(crowd=torch.tensor([False, True, True]))
    cropped = A.keep_visible(A.crop(sample, (0, 0, 91, 70)), 0.9)
    assert cropped.labels.tolist() == [0, 1]  # a hundredth of 1 is seen, nothing of 2
    assert cropped.crowd.tolist() == [False, True]


def test_a_sliver_is_dropped_but_a_small_whole_box_is_not() -> None:
    sample = rectangles()._replace(
        boxes=torch.tensor([[10.0, 10, 10.5, 10.5], [99.5, 20, 180, 64], [0, 0, 5, 5]])
    )
    assert A.keep_visible(A.crop(sample, (0, 0, 100, 150)), 0.0).labels.tolist() == [0, 2]


def test_empty_pictures_pass_through_everything() -> None:
    empty = Sample(
        torch.full((3, 50, 70), 9, dtype=torch.uint8),
        torch.zeros((0, 4)),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, dtype=torch.bool),
    )
    options = Augment(vertical_flip=0.5, rotate_90=0.5, scale_jitter=(0.5, 2), crop=1.0, colour=1.0)
    for seed in range(10):
        out, _ = A.augment(empty, (64, 64), options, np.random.default_rng(seed))
        assert out.boxes.shape == (0, 4)
        assert out.size == (64, 64)
    out, _ = A.mosaic([empty] * 4, (64, 64), options, np.random.default_rng(0))
    assert out.boxes.shape == (0, 4)


def test_everything_off_is_the_plain_letterbox() -> None:
    sample = rectangles()
    letterbox = fit_letterbox(150, 200, (128, 160))
    out, _ = A.augment(sample, (128, 160), OFF, np.random.default_rng(0))
    assert torch.equal(out.image, apply_letterbox(sample.image, letterbox, (128, 160)))
    torch.testing.assert_close(out.boxes, apply_boxes(sample.boxes, letterbox))


def test_colour_leaves_the_boxes_alone() -> None:
    sample, rng = rectangles(), np.random.default_rng(0)
    out, _ = A.augment(sample, (150, 200), OFF.model_copy(update={"colour": 0.5}), rng)
    assert torch.equal(out.boxes, A.augment(sample, (150, 200), OFF, rng)[0].boxes)


def test_the_generator_decides_all() -> None:
    options = Augment(scale_jitter=(0.5, 2), crop=0.5, colour=0.5, rotate_90=0.5)
    first, second, other = (
        A.augment(rectangles(), (96, 96), options, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.boxes, second.boxes)
    assert not torch.equal(first.image, other.image)


def test_inputs_are_left_alone() -> None:
    sample = rectangles()
    image, boxes = sample.image.clone(), sample.boxes.clone()
    options = Augment(scale_jitter=(0.5, 2), crop=0.5, colour=0.5, rotate_90=0.5, vertical_flip=0.5)
    for seed in range(10):
        A.augment(sample, (96, 96), options, np.random.default_rng(seed))
    assert torch.equal(sample.image, image)
    assert torch.equal(sample.boxes, boxes)
