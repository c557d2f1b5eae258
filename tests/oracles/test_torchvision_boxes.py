"""Box coder, IoU, GIoU and anchors against torchvision."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from foveal.ops.anchors import AnchorRule, cell_anchors, cell_step, grid_anchors
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


@pytest.mark.parametrize("shape", [(256, 320), (96, 64), (800, 1344)])
def test_anchors_of_its_retinanet(shape: tuple[int, int]) -> None:
    """Sizes cut to whole ones, corners rounded, and its own steps where P6 and P7 do not divide the canvas."""
    sizes = tuple(tuple(int(side * 2 ** (o / 3)) for o in range(3)) for side in (32, 64, 128, 256, 512))
    strides, rule = (8, 16, 32, 64, 128), AnchorRule(offset=0.0, rounding="whole", step="canvas")
    grids = [(-(-shape[0] // stride), -(-shape[1] // stride)) for stride in strides]
    generator = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)
    picture = ImageList(torch.zeros(1, 3, *shape), [shape])
    (expected,) = generator(picture, [torch.zeros(1, 1, *grid) for grid in grids])
    levels = [
        grid_anchors(
            cell_anchors(size, (0.5, 1.0, 2.0), rule),
            stride,
            *grid,
            0.0,
            cell_step(rule, stride, grid, shape),
        )
        for size, stride, grid in zip(sizes, strides, grids, strict=True)
    ]
    assert torch.equal(torch.cat([level.boxes for level in levels]), expected)
