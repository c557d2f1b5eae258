"""The feature pyramid: levels, where the extra ones come from, norms, gradients."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from foveal.models.fpn import FeaturePyramid

CHANNELS = (6, 10, 14)


def make(**settings: Any) -> FeaturePyramid:
    torch.manual_seed(0)
    return FeaturePyramid(**{"in_channels": CHANNELS, "out_channels": 8} | settings).eval()


def maps(height: int = 96, width: int = 160, channels: tuple[int, ...] = CHANNELS) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, height // 2**i // 8, width // 2**i // 8) for i, c in enumerate(channels)]


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 6])
def test_levels_halve_and_have_one_width(levels: int) -> None:
    pyramid = make(num_levels=levels)(maps())
    assert len(pyramid) == levels
    height, width = 12, 20
    for level in pyramid:
        assert level.shape == (2, 8, height, width)
        height, width = -(-height // 2), -(-width // 2)


def test_p2_too() -> None:
    channels = (4, *CHANNELS)
    features = [torch.randn(1, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate(channels)]
    pyramid = make(in_channels=channels, num_levels=6)(features)
    assert [p.shape[-1] for p in pyramid] == [64, 32, 16, 8, 4, 2]


def test_the_sum_of_lateral_and_coarser_map() -> None:
    """P3 = conv(lateral(C3) + up(lateral(C4) + up(lateral(C5)))), nearest neighbour."""
    fpn, (c3, c4, c5) = make(), maps()
    top = fpn.lateral[2](c5)
    middle = fpn.lateral[1](c4) + top.repeat_interleave(2, -1).repeat_interleave(2, -2)
    bottom = fpn.lateral[0](c3) + middle.repeat_interleave(2, -1).repeat_interleave(2, -2)
    pyramid = fpn([c3, c4, c5])
    for found, merged, output in zip(pyramid, (bottom, middle, top), fpn.output, strict=False):
        torch.testing.assert_close(found, output(merged), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("source", ["on_input", "on_output"])
def test_extra_levels(source: Literal["on_input", "on_output"], relu: bool) -> None:
    fpn, features = make(extra_convs=source, relu_before_extra_convs=relu), maps()
    _, _, p5, p6, p7 = fpn(features)
    assert (fpn.extra[0][0].in_channels, fpn.extra[0][0].stride) == (
        14 if source == "on_input" else 8,
        (2, 2),
    )
    torch.testing.assert_close(p6, fpn.extra[0](features[-1] if source == "on_input" else p5))
    torch.testing.assert_close(p7, fpn.extra[1](p6.relu() if relu else p6))
    assert (p6 < 0).any(), "P6 itself is given out before the ReLU"


def test_coarse_maps_may_be_odd() -> None:
    """Sides of 96 x 160 are not multiples of 64: P6 and P7 round up."""
    assert [tuple(p.shape[-2:]) for p in make()(maps())] == [(12, 20), (6, 10), (3, 5), (2, 3), (1, 2)]


@pytest.mark.parametrize(
    ("norm", "module"), [("none", None), ("batch_norm", nn.BatchNorm2d), ("group_norm", nn.GroupNorm)]
)
def test_norms(norm: str, module: type[nn.Module] | None) -> None:
    fpn = make(norm_type=norm)
    convs = [m for m in fpn.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 3 + 3 + 2
    assert all((conv.bias is None) == (norm != "none") for conv in convs)
    if module is not None:
        assert sum(isinstance(m, module) for m in fpn.modules()) == len(convs)


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_every_parameter_takes_part(levels: int) -> None:
    fpn = make(num_levels=levels)
    sum(p.square().mean() for p in fpn(maps())).backward()  # type: ignore[union-attr]
    idle = [name for name, p in fpn.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert not idle


def test_a_wrong_number_of_maps_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        make()(maps()[:2])
