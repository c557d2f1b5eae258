"""The ResNets that other programs describe by their blocks, by timm's names."""

from __future__ import annotations

from typing import Any

RESNETS: dict[tuple[str, tuple[Any, ...]], str] = {
    ("basicblock", (2, 2, 2, 2)): "resnet18",
    ("basicblock", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
"""Block and blocks per stage (He et al. 2015, table 1) -> timm's name."""
