"""TensorFlow's "same" padding without a branch, so that a graph with open sizes holds the rule itself.

timm's own layers compute it with ``ceil`` of a division, on which ``torch.export`` with open sizes does not come
to an end. The outputs are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[int, int]


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """As many rows and columns as make every output whole; the odd one at the bottom and right.

    x: [B, C, H, W]; kernel >= stride, no dilation. Of a size n it is kernel - stride + (-n mod stride).
    """
    down, across = (k - s + -size % s for size, k, s in zip(x.shape[2:], kernel, stride, strict=True))
    return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2), value=value)


class SameConv2d(nn.Conv2d):
    """A convolution with "same" padding."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] -> [B, O, ceil(H / stride), ceil(W / stride)]."""
        padded = pad_same(x, self.kernel_size, self.stride)
        y: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return y


class SameMaxPool2d(nn.MaxPool2d):
    """Max pooling with "same" padding."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""
        kernel, stride = _pair(self.kernel_size), _pair(self.stride)
        return F.max_pool2d(pad_same(x, kernel, stride, -torch.inf), kernel, stride)


def replace_same_padding(body: nn.Module) -> None:
    """Puts these layers in the place of timm's, with their weights; those of another kind stay."""
    for layer in body.modules():
        if isinstance(layer, Conv2dSame | MaxPool2dSame) and _is_simple(layer):
            kind: Any = SameConv2d if isinstance(layer, Conv2dSame) else SameMaxPool2d
            layer.__class__ = kind


def _is_simple(layer: Conv2dSame | MaxPool2dSame) -> bool:
    sides = zip(_pair(layer.kernel_size), _pair(layer.stride), _pair(layer.dilation), strict=True)
    return not getattr(layer, "ceil_mode", False) and all(k >= s and d == 1 for k, s, d in sides)


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
