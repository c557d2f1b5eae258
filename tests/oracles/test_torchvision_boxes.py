"""Box coder, IoU, GIoU and anchors against torchvision."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.box_coder import Weights, decode_boxes, encode_boxes
from foveal.ops.box_loss import giou_loss
from foveal.ops.iou import box_area, box_iou


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 300 - 50
    return torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 250 + 0.5], dim=1)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_coder(weights: Weights) -> None:
    boxes, anchors = random_boxes(500, 0), random_boxes(500, 1)
    coder = BoxCoder(weights)
    deltas = encode_boxes(boxes, anchors, weights)
    torch.testing.assert_close(deltas, coder.encode_single(boxes, anchors), rtol=1e-5, atol=1e-5)
    wild = torch.randn(500, 4) * torch.tensor([2.0, 2.0, 6.0, 6.0])
    assert (wild[:, 2:] / weights[2] > 4.2).any() or weights[2] > 1, "the cap was never reached"
    expected = coder.decode_single(wild, anchors)
    torch.testing.assert_close(decode_boxes(wild, anchors, weights), expected, rtol=1e-5, atol=1e-3)


def test_iou_and_area_are_equal_to_the_bit() -> None:
    a, b = random_boxes(200, 2), random_boxes(300, 3)
    expected = torchvision.ops.box_iou(a, b)
    assert (expected > 0).sum() > 1000
    assert torch.equal(box_iou(a[:, None], b[None]), expected)
    assert torch.equal(box_area(a), torchvision.ops.box_area(a))


def test_giou_loss() -> None:
    a, b = random_boxes(300, 4), random_boxes(300, 5)
    expected = 1 - torchvision.ops.generalized_box_iou(a, b).diagonal()
    assert (expected > 1).any()
    torch.testing.assert_close(giou_loss(a, b), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(256, 320), (96, 64)])
def test_anchors_where_rounding_does_nothing(shape: tuple[int, int]) -> None:
    """Ratios .25, 1 and 4 of sizes that are multiples of 4 have whole even sides: nothing is rounded."""
    sizes, ratios, strides = [(32, 48), (64, 96), (128, 192)], (0.25, 1.0, 4.0), (8, 16, 32)
    grids = [(shape[0] // stride, shape[1] // stride) for stride in strides]
    generator = AnchorGenerator(tuple(sizes), (ratios,) * 3)
    picture = ImageList(torch.zeros(1, 3, *shape), [shape])
    (expected,) = generator(picture, [torch.zeros(1, 1, *grid) for grid in grids])
    levels = [
        grid_anchors(cell_anchors(size, ratios), stride, *grid, offset=0.0)
        for size, stride, grid in zip(sizes, strides, grids, strict=True)
    ]
    assert torch.equal(torch.cat([level.boxes for level in levels]), expected)


def test_anchors_before_torchvision_rounds_them() -> None:
    """Its shapes are ours to within its half pixel of rounding, in the same order."""
    sizes = tuple(int(32 * 2 ** (o / 3)) for o in range(3))
    expected = AnchorGenerator((sizes,), ((0.5, 1.0, 2.0),)).cell_anchors[0]
    ours = cell_anchors(sizes, (0.5, 1.0, 2.0))
    assert (ours - expected).abs().max() <= 0.5 + 1e-5
    assert not torch.equal(ours, expected)
