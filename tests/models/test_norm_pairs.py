"""Which norm follows which convolution, and which pairs only look like one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from foveal.models.frozen_norm import freeze_batch_norm
from foveal.models.norm_pairs import Norm, find_norm_pairs

PROBE = torch.zeros(1, 3, 64, 64)


class Net(nn.Module):
    """A convolution, a norm, another convolution, and a way to join them."""

    def __init__(self, join: Callable[[Net, Tensor], object], conv: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv if conv is not None else nn.Conv2d(3, 4, 3)
        self.other = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.join = join

    def forward(self, x: Tensor) -> object:
        return self.join(self, x)


def pairs(join: Callable[[Net, Tensor], object], conv: nn.Module | None = None) -> list[str]:
    net = Net(join, conv)
    names = {module: name for name, module in net.named_modules()}
    return [f"{names[conv]}-{names[norm]}" for conv, norm in find_norm_pairs(net, PROBE)]


@pytest.mark.parametrize(("name", "found", "norms"), [("resnet18", 20, 20), ("densenet121", 59, 121)])
def test_timm_networks(name: str, found: int, norms: int) -> None:
    """A ResNet's norms all follow a convolution; half of a DenseNet's stand in front of one."""
    net = timm.create_model(name, features_only=True)
    rows = find_norm_pairs(net, PROBE)
    assert (len(rows), sum(isinstance(part, Norm) for part in net.modules())) == (found, norms)
    assert len({id(conv) for conv, _ in rows}) == len({id(norm) for _, norm in rows}) == found
    assert all(conv.out_channels == norm.num_features for conv, norm in rows)
    assert len(find_norm_pairs(freeze_batch_norm(net), PROBE)) == found


def test_a_pair() -> None:
    assert pairs(lambda net, x: net.norm(net.conv(x))) == ["conv-norm"]
    assert pairs(lambda net, x: {"maps": [net.norm(net.conv(x)), net.other(x)]}) == ["conv-norm"]


def test_used_on_several_levels() -> None:
    """As a head's subnets are."""
    assert pairs(lambda net, x: [net.norm(net.conv(y)) for y in (x, x[:, :, ::2])]) == ["conv-norm"]


@pytest.mark.parametrize(
    "join",
    [
        lambda net, x: net.norm(net.conv(x).relu()),
        lambda net, x: net.norm(net.conv(x).mul_(2)),
        lambda net, x: net.norm(net.conv(x)[:, :, 1:]),
        lambda net, x: (lambda y: net.norm(y) + y)(net.conv(x)),
        lambda net, x: (lambda y: (y, net.norm(y)))(net.conv(x)),
        lambda net, x: (lambda y: {"a": {"b": [y]}, "c": net.norm(y)})(net.conv(x)),
        lambda net, x: net.norm(net.conv(x)) + net.norm(net.other(x)),
        lambda net, x: net.norm(net.conv(x)) + net.norm(net.conv(x).relu()),
        lambda net, x: net.norm(net.conv(x) + net.other(x)),
        lambda net, x: net.norm(x.new_ones(1, 4, 8, 8)) + net.norm(net.conv(x)).mean(),
        lambda net, x: (net.conv(x), net.other(x)),
    ],
)
def test_no_pair(join: Callable[[Net, Tensor], object]) -> None:
    assert pairs(join) == []


@pytest.mark.parametrize("layer", [timm.layers.ScaledStdConv2d(3, 4, 3), weight_norm(nn.Conv2d(3, 4, 3))])
def test_a_weight_that_is_made_on_the_way_is_no_pair(layer: nn.Module) -> None:
    assert pairs(lambda net, x: net.norm(net.conv(x)), layer) == []


def test_convolutions_that_share_a_weight_are_no_pair() -> None:
    def join(net: Net, x: Tensor) -> Tensor:
        return net.norm(net.conv(x)) + net.other(x)

    net = Net(join)
    net.other.weight = net.conv.weight
    assert find_norm_pairs(net, PROBE) == []


def test_the_module_comes_back_as_it_was() -> None:
    net = Net(lambda net, x: net.norm(net.conv(x))).train()
    net.norm.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    find_norm_pairs(net, torch.ones(1, 3, 8, 8))
    assert (net.training, net.conv.training, net.norm.training) == (True, True, False)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.norm._forward_hooks
    assert not net.norm._forward_pre_hooks

    def fail(net: Net, x: Tensor) -> Tensor:
        raise RuntimeError("too small")

    broken = Net(fail).train()
    with pytest.raises(RuntimeError, match="too small"):
        find_norm_pairs(broken, PROBE)
    assert broken.training
    assert not broken.norm._forward_hooks
