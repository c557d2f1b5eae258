"""Norm layers that also take what PyTorch refuses: a map of one cell in a batch of one picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """Group norm that also takes one value per group, in training and in evaluation.

    P7 of a 128 px picture is one cell: a small picture must be no error.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm that also takes a map of one cell, such as P7 of a 128 px picture: its output is the bias.

    PyTorch refuses such a map, which would make a small picture an error.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)
