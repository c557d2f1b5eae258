"""Feature pyramid network (Lin et al. 2017b) with RetinaNet's extra levels (paper, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from foveal.models.variants import convolve_like_tensorflow
from foveal.ops.norms import GroupNorm


class FeaturePyramid(nn.Module):
    """C_min..C5 -> P_min..P_max, all with the same number of channels.

    in_channels: channels of the backbone's maps, finest first, ending with C5.
    num_levels: maps given out; those beyond P5 are made by 3x3 stride-2 convolutions, P6 from C5
    (``on_input``) or from P5 (``on_output``), each later one from the one before.
    relu_before_extra_convs: ReLU in front of P7 and later. extra_padding: of the convolutions beyond P5.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_levels: int = 5,
        extra_convs: Literal["on_input", "on_output"] = "on_input",
        relu_before_extra_convs: bool = True,
        norm_type: Literal["none", "batch_norm", "group_norm"] = "none",
        extra_padding: Literal["symmetric", "tensorflow"] = "symmetric",
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.num_levels = num_levels
        self.extra_convs = extra_convs
        self.relu_before_extra_convs = relu_before_extra_convs
        kept = min(num_levels, len(in_channels))
        self.lateral = nn.ModuleList(_conv(c, out_channels, 1, 1, norm_type) for c in in_channels)
        self.output = nn.ModuleList(_conv(out_channels, out_channels, 3, 1, norm_type) for _ in range(kept))
        source = in_channels[-1] if extra_convs == "on_input" else out_channels
        self.extra = nn.ModuleList(
            _conv(source if i == 0 else out_channels, out_channels, 3, 2, norm_type)
            for i in range(num_levels - kept)
        )
        if extra_padding == "tensorflow":
            for conv in self.extra.modules():
                if isinstance(conv, nn.Conv2d):
                    convolve_like_tensorflow(conv)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """features: C maps, finest first, [B, C_i, H_i, W_i]. Returns ``num_levels`` maps, finest first."""
        merged = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        for i in range(len(merged) - 2, -1, -1):
            merged[i] = merged[i] + F.interpolate(merged[i + 1], size=merged[i].shape[-2:], mode="nearest")
        pyramid = [output(x) for output, x in zip(self.output, merged, strict=False)]
        for i, conv in enumerate(self.extra):
            if i == 0:
                source = features[-1] if self.extra_convs == "on_input" else pyramid[-1]
            else:
                source = pyramid[-1].relu() if self.relu_before_extra_convs else pyramid[-1]
            pyramid.append(conv(source))
        return pyramid


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int, norm_type: str) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=norm_type == "none")
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers: list[nn.Module] = [conv]
    if norm_type == "batch_norm":
        layers.append(nn.BatchNorm2d(out_channels))
    elif norm_type == "group_norm":
        layers.append(GroupNorm(gcd(32, out_channels), out_channels))
    return nn.Sequential(*layers)
