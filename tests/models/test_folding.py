"""Folding norms into convolutions changes nothing but the number of passes over memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled import AnchorDecoupledHead
from foveal.models.backbone import Backbone
from foveal.models.detector import Detector
from foveal.models.folding import fold_batch_norm
from foveal.models.fpn import FeaturePyramid
from foveal.models.norm_pairs import Norm

PROBE = torch.zeros(1, 3, 64, 64)


def unsettle(module: nn.Module) -> None:
    """Statistics, weights and biases of every norm that a mistake could not hide in."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, Norm):
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)


def norms_in(module: nn.Module) -> int:
    return sum(isinstance(part, Norm) for part in module.modules())


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize(
    ("name", "batch_norm", "left"),
    [
        ("resnet18", "frozen", 0),
        ("resnet50", "trained", 0),
        ("mobilenetv2_100", "trained", 0),  # activations fused into the norms
        ("efficientnet_b0", "trained", 0),
        ("tf_efficientnet_b0", "frozen", 0),  # padding by the size of the input
        ("tf_efficientnet_b0", "trained", 0),
        ("resnetv2_50", "trained", 16),  # norms in front of convolutions
    ],
)
def test_timm_networks(name: str, batch_norm: Any, left: int) -> None:
    net = Backbone(name, None, batch_norm=batch_norm).eval()
    unsettle(net)
    folded = fold_batch_norm(net, PROBE)
    assert norms_in(folded) == left
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
        assert_same(folded(images), net(images))


def test_a_whole_detector() -> None:
    """Norms of neck and head, too; the head's are used on every level."""
    backbone = Backbone("lcnet_050", None, batch_norm="trained")
    neck = FeaturePyramid(backbone.channels, 32, 4, norm_type="batch_norm")
    sizes = [[16.0], [32.0], [64.0], [128.0]]
    head = AnchorDecoupledHead(32, 2, (8, 16, 32, 64), sizes, num_layers=2, norm_type="batch_norm")
    detector = Detector(backbone, neck, head, (8, 16, 32, 64), (0.5,) * 3, (0.2,) * 3).eval()
    unsettle(detector)
    folded = fold_batch_norm(detector, torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert norms_in(detector) > norms_in(folded) == 0
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        found, expected = folded(images), detector(images)
    assert_same([*found.cls_logits, *found.bbox_deltas], [*expected.cls_logits, *expected.bbox_deltas])


def test_the_original_is_left_alone() -> None:
    net = Backbone("resnet18", None, batch_norm="trained").train()
    unsettle(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batch_norm(net, PROBE)
    assert net.training
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_norms_without_a_convolution_stay() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    unsettle(net)
    folded = fold_batch_norm(net, PROBE)
    assert norms_in(folded) == 2
    images = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        assert_same([folded(images)], [net(images)])


def test_layout_is_kept() -> None:
    net = Backbone("resnet18", None).to(memory_format=torch.channels_last)
    first = next(part for part in fold_batch_norm(net, PROBE).modules() if isinstance(part, nn.Conv2d))
    assert type(first) is nn.Conv2d
    assert first.weight.is_contiguous(memory_format=torch.channels_last)
