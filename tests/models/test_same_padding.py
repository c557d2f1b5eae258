"""TensorFlow's "same" padding: timm's layers to the last bit, and a graph with open sizes."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import nn

from foveal.models.backbone import Backbone
from foveal.models.same_padding import SameConv2d, SameMaxPool2d, replace_same_padding

SIZES = [(1, 1), (2, 3), (7, 8), (9, 10), (16, 5), (11, 11)]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (7, 2), (2, 2), (5, 3), (1, 1)])
def test_equal_to_timms(kernel: int, stride: int) -> None:
    convolution, pooling = Conv2dSame(4, 5, kernel, stride), MaxPool2dSame(kernel, stride)
    for height, width in SIZES:
        x = torch.randn(2, 4, height, width)
        expected = convolution(x), pooling(x)
        network = nn.ModuleList([Conv2dSame(4, 5, kernel, stride), MaxPool2dSame(kernel, stride)])
        network[0].load_state_dict(convolution.state_dict())
        replace_same_padding(network)
        assert [type(layer) for layer in network] == [SameConv2d, SameMaxPool2d]
        assert torch.equal(network[0](x), expected[0])
        assert torch.equal(network[1](x), expected[1])


def test_what_the_rule_does_not_hold_for_stays() -> None:
    network = nn.ModuleList([Conv2dSame(1, 1, 3, 2, dilation=2), Conv2dSame(1, 1, 1, 2)])
    replace_same_padding(network)
    assert [type(layer) for layer in network] == [Conv2dSame, Conv2dSame]


def test_a_backbone_of_tensorflows_gives_timms_maps() -> None:
    name = "tf_efficientnet_lite0"
    torch.manual_seed(0)
    ours = Backbone(name, batch_norm="trained").eval()
    theirs = timm.create_model(name, features_only=True, out_indices=(2, 3, 4)).eval()
    assert not any(isinstance(layer, Conv2dSame) for layer in ours.modules())
    theirs.load_state_dict(ours.body.state_dict())
    for size in ((64, 64), (96, 160)):
        x = torch.randn(1, 3, *size)
        with torch.inference_mode():
            for a, b in zip(ours(x), theirs(x), strict=True):
                torch.testing.assert_close(a, b)
