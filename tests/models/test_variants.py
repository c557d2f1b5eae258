"""Networks as other implementations built them."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from foveal.errors import UsageError
from foveal.models import variants
from foveal.models.backbone import Backbone


def test_the_stride_moves_to_the_first_convolution() -> None:
    """Of the three stages that have one; the maps keep their sizes and change their values."""
    network = timm.create_model("resnet50", features_only=True, out_indices=(2, 3, 4)).eval()
    for block in network.layer2:  # timm begins with branches that add nothing
        nn.init.ones_(block.bn3.weight)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = network(x)
    assert variants.stride_in_1x1(network) == 3
    blocks = [network.layer2[0], network.layer3[0], network.layer4[0]]
    assert [(b.conv1.stride, b.conv2.stride) for b in blocks] == [((2, 2), (1, 1))] * 3
    after = network(x)
    assert [a.shape for a in after] == [b.shape for b in before]
    assert not torch.allclose(after[0], before[0])
    assert variants.stride_in_1x1(network) == 0, "again is nothing"


@pytest.mark.parametrize("size", [9, 10, 11])
def test_tensorflows_padding_of_a_convolution(size: int) -> None:
    """In all max((ceil(n / 2) - 1) * 2 + 3 - n, 0), the smaller half at the top and left."""
    conv = nn.Conv2d(2, 4, 3, 2, padding=1)
    x = torch.randn(1, 2, size, size)
    total = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
    less, more = total // 2, total - total // 2
    expected = F.conv2d(F.pad(x, (less, more, less, more)), conv.weight, conv.bias, 2)
    variants.convolve_like_tensorflow(conv)
    torch.testing.assert_close(conv(x), expected)


def test_tensorflows_padding_of_the_max_pooling() -> None:
    network = timm.create_model("resnet18", features_only=True, out_indices=(1,)).eval()
    assert variants.pool_like_tensorflow(network) == 1
    x = torch.randn(1, 64, 8, 8)
    expected = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    torch.testing.assert_close(network.maxpool(x), expected)


def test_a_backbone_that_cannot_says_so() -> None:
    with pytest.raises(UsageError, match="resnet18 has no bottleneck blocks"):
        Backbone("resnet18", stride_in_1x1=True)
    with pytest.raises(UsageError, match="mobilenetv3_small_050 has no max pooling"):
        Backbone("mobilenetv3_small_050", pool_padding="tensorflow")
