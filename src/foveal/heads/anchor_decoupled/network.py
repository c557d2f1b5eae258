"""The two subnets (paper, section 4, "Classification Subnet" and "Box Regression Subnet")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from foveal.ops.anchors import AnchorRule, cell_anchors, cell_step, grid_anchors
from foveal.ops.norms import GroupNorm, InstanceNorm
from foveal.types import AnchorLevel, HeadOutputs

NormType = Literal["none", "batch_norm", "group_norm", "instance_norm"]
INIT_STD = 0.01
"""Standard deviation of every convolution's initial weights (paper, section 4.1)."""
GROUPS = 32


class AnchorDecoupledHead(nn.Module):
    """A class subnet and a box subnet that share no weights, each shared over all levels.

    strides: one per level, finest first; anchor_sizes: one list of side lengths in pixels per level, all of
    the same length; aspect_ratios: height / width. num_layers: 3x3 conv (+ norm) + ReLU blocks in each
    subnet (RetinaNet: 4). prior_prob: score of every anchor at initialisation (the paper's pi). anchor_rule: how
    anchors follow from sizes and ratios; None: Foveal's own way.
    ValueError where the lists disagree.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        strides: Sequence[int],
        anchor_sizes: Sequence[Sequence[float]],
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        num_layers: int = 4,
        norm_type: NormType = "none",
        prior_prob: float = 0.01,
        anchor_rule: AnchorRule | None = None,
    ) -> None:
        super().__init__()
        if len(anchor_sizes) != len(strides):
            raise ValueError(f"{len(anchor_sizes)} lists of anchor sizes for {len(strides)} levels")
        if len({len(sizes) for sizes in anchor_sizes}) != 1:
            raise ValueError("every level needs the same number of anchor sizes: the subnets are shared")
        self.num_classes = num_classes
        self.num_anchors = len(anchor_sizes[0]) * len(aspect_ratios)
        self.strides = tuple(strides)
        self.anchor_rule = anchor_rule or AnchorRule()
        for level, sizes in enumerate(anchor_sizes):
            cell = cell_anchors(sizes, aspect_ratios, self.anchor_rule)
            self.register_buffer(f"cell_{level}", cell, persistent=False)
        self.cls_subnet = _subnet(in_channels, num_layers, norm_type)
        self.box_subnet = _subnet(in_channels, num_layers, norm_type)
        self.cls_logits = nn.Conv2d(in_channels, self.num_anchors * num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(in_channels, self.num_anchors * 4, 3, padding=1)
        self._initialise(prior_prob)

    def _initialise(self, prior_prob: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        assert self.cls_logits.bias is not None
        # Without the prior, the flood of background makes the first steps diverge (paper, section 3.3).
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_prob) / prior_prob))

    @property
    def cls_channels(self) -> int:
        """Channels of the class output: A * K, the K classes of an anchor together."""
        return self.num_anchors * self.num_classes

    def forward(self, features: Sequence[Tensor]) -> HeadOutputs:
        """features: one map [B, C, H, W] per level, finest first."""
        logits = tuple(rows_of(self.classify(x), self.num_classes) for x in features)
        deltas = tuple(rows_of(self.regress(x), 4) for x in features)
        return HeadOutputs(logits, deltas, self.anchors(features))

    def classify(self, x: Tensor) -> Tensor:
        """[B, A * K, H, W] logits of one level, the K classes of an anchor together."""
        logits: Tensor = self.cls_logits(self.cls_subnet(x))
        return logits

    def regress(self, x: Tensor) -> Tensor:
        """[B, A * 4, H, W] deltas of one level."""
        deltas: Tensor = self.bbox_pred(self.box_subnet(x))
        return deltas

    def anchors(self, features: Sequence[Tensor]) -> tuple[AnchorLevel, ...]:
        """Anchors of every level; of the features [B, C, H, W] only the grids count."""
        rule = self.anchor_rule
        canvas = (features[0].shape[2] * self.strides[0], features[0].shape[3] * self.strides[0])
        levels = []
        for level, (x, stride) in enumerate(zip(features, self.strides, strict=True)):
            grid = (x.shape[2], x.shape[3])
            cell: Tensor = self.get_buffer(f"cell_{level}")
            levels.append(
                grid_anchors(cell, stride, *grid, rule.offset, cell_step(rule, stride, grid, canvas))
            )
        return tuple(levels)


def rows_of(output: Tensor, columns: int) -> Tensor:
    """[B, A * columns, H, W] -> [B, H * W * A, columns]; a view where the output is channels_last."""
    # Not len(output): an export would take it for a number that stays.
    return output.permute(0, 2, 3, 1).reshape(output.shape[0], -1, columns)


def _subnet(channels: int, num_layers: int, norm_type: NormType) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1, bias=norm_type == "none"))
        if norm_type != "none":
            layers.append(_norm(channels, norm_type))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _norm(channels: int, norm_type: NormType) -> nn.Module:
    if norm_type == "batch_norm":
        return nn.BatchNorm2d(channels)
    if norm_type == "group_norm":
        return GroupNorm(math.gcd(GROUPS, channels), channels)
    return InstanceNorm(channels, affine=True)
