"""A frozen batch norm computes what the trained one does in evaluation."""

from __future__ import annotations

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from foveal.models.frozen_norm import FrozenBatchNorm2d, freeze_batch_norm


def trained(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            value.uniform_(0.5, 2, generator=generator)
    return norm.eval()


@pytest.mark.parametrize("make", [nn.BatchNorm2d, BatchNormAct2d])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_same_output(make: type[nn.BatchNorm2d], layout: torch.memory_format) -> None:
    norm = trained(make(6, eps=1e-3))
    frozen = FrozenBatchNorm2d.from_batch_norm(norm)
    x = torch.randn(2, 6, 5, 7).to(memory_format=layout)
    torch.testing.assert_close(frozen(x), norm(x))
    torch.testing.assert_close(frozen.train()(x), norm(x))
    assert frozen(x).is_contiguous(memory_format=layout)


def test_keeps_the_type_under_autocast() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 1), FrozenBatchNorm2d(6))
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(1, 3, 4, 4)).dtype == torch.bfloat16


def test_gradient_goes_through_and_nothing_is_learnt() -> None:
    norm = trained(nn.BatchNorm2d(6))
    frozen = FrozenBatchNorm2d.from_batch_norm(norm)
    x = torch.randn(2, 6, 5, 7, requires_grad=True)
    (found,) = torch.autograd.grad(frozen(x).square().sum(), x)
    (wanted,) = torch.autograd.grad(norm(x).square().sum(), x)
    torch.testing.assert_close(found, wanted)
    assert list(frozen.parameters()) == []


def test_either_loads_the_other() -> None:
    norm = trained(nn.BatchNorm2d(6))
    frozen = FrozenBatchNorm2d(6)
    frozen.load_state_dict(norm.state_dict())
    x = torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(frozen(x), norm(x))
    back = nn.BatchNorm2d(6).eval()
    back.load_state_dict(dict(frozen.state_dict()))
    torch.testing.assert_close(back(x), norm(x))


def test_folds_into_a_convolution() -> None:
    conv, norm = nn.Conv2d(3, 6, 3, bias=False), trained(nn.BatchNorm2d(6))
    scale, shift = FrozenBatchNorm2d.from_batch_norm(norm).scale_and_shift()
    x = torch.randn(1, 3, 8, 8)
    folded = nn.functional.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), shift)
    torch.testing.assert_close(folded, norm(conv(x)), rtol=1e-5, atol=1e-5)


def test_replaces_every_layer_and_no_other() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ModuleDict({"n": nn.BatchNorm2d(4)}), nn.GroupNorm(2, 4))
    freeze_batch_norm(network)
    kinds = [type(m) for m in network.modules()]
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(FrozenBatchNorm2d) == 1
    assert kinds.count(nn.GroupNorm) == 1


def test_without_statistics() -> None:
    with pytest.raises(ValueError, match="statistics"):
        FrozenBatchNorm2d.from_batch_norm(nn.BatchNorm2d(4, track_running_stats=False))
