"""A frozen batch norm computes what the trained one does in evaluation."""

from __future__ import annotations

from copy import deepcopy

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from foveal.models.frozen_norm import FrozenBatchNorm2d, NormedConv2d, apply_to_weights, freeze_batch_norm
from foveal.models.norm_pairs import find_norm_pairs
from foveal.models.same_padding import replace_same_padding


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


PICTURE = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
NETWORKS = ["resnet10t", "mobilenetv2_035", "tf_efficientnet_lite0", "lcnet_050"]
"""Norm and activation apart; fused; with TensorFlow's padding; with squeeze-and-excitation between."""


def frozen_network(name: str) -> nn.Module:
    """With statistics and affine parameters as after training, in timm's own arrangement."""
    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True, out_indices=(1, 2, 3))
    replace_same_padding(network)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
            norm.momentum = None  # the statistics become those of the next batch
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 96))
    return freeze_batch_norm(network).to(memory_format=torch.channels_last)


def in_weights(network: nn.Module) -> nn.Module:
    applied = deepcopy(network)
    apply_to_weights(find_norm_pairs(applied, PICTURE))
    return applied


def maps_and_gradients(network: nn.Module) -> tuple[list[Tensor], dict[str, Tensor]]:
    network.train().zero_grad()
    x = PICTURE.to(next(network.parameters()).dtype).repeat(2, 1, 1, 1)
    maps = network(x.contiguous(memory_format=torch.channels_last))
    torch.stack([m.to(x.dtype).square().mean() for m in maps]).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return [m.detach() for m in maps], gradients


def apart(a: Tensor, b: Tensor) -> float:
    """Distance as a share of the second's size."""
    return float((a.to(b.dtype) - b).norm() / b.norm())


@pytest.mark.parametrize("name", NETWORKS)
def test_in_the_weight_it_is_the_same_function(name: str) -> None:
    network = frozen_network(name)
    applied = in_weights(network)
    assert all(norm.in_weight for norm in applied.modules() if isinstance(norm, FrozenBatchNorm2d))
    for a, b in zip(applied(PICTURE), network(PICTURE), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.detach().abs().max()))
    # Gradients in float64: in float32, rounding moves values over an activation's kink.
    wanted, wanted_gradients = maps_and_gradients(network.double())
    found, gradients = maps_and_gradients(applied.double())
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in found)
    assert max(apart(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-12
    assert list(gradients) == list(wanted_gradients)
    assert max(apart(gradient, wanted_gradients[key]) for key, gradient in gradients.items()) < 1e-12


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_035"])
def test_in_bf16_it_is_no_further_off(name: str) -> None:
    """Both forms round, each in its own place: float32 says which is further off."""
    network = frozen_network(name)
    exact, exact_gradients = maps_and_gradients(network)
    off, slope_off = [], []
    for candidate in (network, in_weights(network)):
        with torch.autocast("cpu", torch.bfloat16):
            maps, gradients = maps_and_gradients(candidate)
        assert all(m.dtype == torch.bfloat16 for m in maps)
        off.append(max(apart(m, e) for m, e in zip(maps, exact, strict=True)))
        slope_off.append(max(apart(g, exact_gradients[key]) for key, g in gradients.items()))
    assert 0 < off[1] < 1.2 * off[0]
    assert slope_off[1] < 1.2 * slope_off[0]


def test_names_and_parameters_stay_as_they_are() -> None:
    network = frozen_network("resnet10t")
    applied = in_weights(network)
    assert list(applied.state_dict()) == list(network.state_dict())
    for (name, a), (other, b) in zip(applied.named_parameters(), network.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(a, b)
    applied.load_state_dict({key: value + 0.1 for key, value in network.state_dict().items()})
    network.load_state_dict(applied.state_dict())
    for a, b in zip(applied(PICTURE), network(PICTURE), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.detach().abs().max()))


def test_a_copy_uses_its_own_norms() -> None:
    applied = in_weights(frozen_network("resnet10t"))
    before = applied(PICTURE)[0]
    copy = deepcopy(applied)
    for norm in copy.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.bias.add_(1.0)
    assert not torch.allclose(copy(PICTURE)[0], before)
    assert torch.equal(applied(PICTURE)[0], before)
    assert torch.equal(deepcopy(applied)(PICTURE)[0], before)


def test_a_bias_in_front_of_the_norm() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6)
    )
    trained(network[1])
    wanted = network(PICTURE)
    apply_to_weights(find_norm_pairs(freeze_batch_norm(network), PICTURE))
    assert isinstance(network[0], NormedConv2d)
    torch.testing.assert_close(network(PICTURE), wanted)


class TwoUses(nn.Module):
    """A norm of a sum, and a convolution whose output is wanted without the norm as well."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.of_sum, self.of_two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(x)
        total: Tensor = self.of_sum(self.one(x) + y) + self.of_two(y) + y
        return total


def test_where_it_cannot_be_it_stays_a_layer() -> None:
    network = TwoUses()
    trained(network.of_sum), trained(network.of_two)
    wanted = network.eval()(PICTURE)
    freeze_batch_norm(network)
    apply_to_weights(find_norm_pairs(network, PICTURE))
    assert not any(isinstance(module, NormedConv2d) for module in network.modules())
    torch.testing.assert_close(network(PICTURE), wanted)


def test_a_trained_norm_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6))
    apply_to_weights(find_norm_pairs(network, PICTURE))
    assert type(network[0]) is nn.Conv2d


def test_it_can_be_exported() -> None:
    applied = in_weights(frozen_network("resnet10t")).eval()
    program = torch.export.export(applied, (PICTURE,))
    for a, b in zip(program.module()(PICTURE), applied(PICTURE), strict=True):
        torch.testing.assert_close(a, b)
