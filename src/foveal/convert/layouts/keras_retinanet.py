"""fizyr's keras-retinanet: models/retinanet.py and resnet.py, with the layers of keras-resnet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from torch import Tensor

from foveal.convert.layouts.layout import Layout, Rules, Transformed

VARIABLES = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip
VARIABLE = f"({'|'.join(VARIABLES)})"
HEADS = {"classification": ("cls_subnet", "cls_logits"), "regression": ("box_subnet", "bbox_pred")}
STEM = {"conv1": "conv1", "bn_conv1": "bn1"}


def _stem(match: re.Match[str]) -> str:
    return f"backbone.body.{STEM[match[1]]}.{VARIABLES[match[2]]}"


def _block(match: re.Match[str]) -> str:
    """res3b1_branch2a, or res3b_branch2a in nets without numbers: block 1 of layer 2, its first convolution."""
    kind, stage, letter, number, branch, variable = match.groups()
    block = int(number) if number else ord(letter) - ord("a")
    if branch == "1":
        name = f"downsample.{0 if kind == 'res' else 1}"
    else:
        name = f"{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"
    return f"backbone.body.layer{int(stage) - 1}.{block}.{name}.{VARIABLES[variable]}"


def _level(kind: str, first: int) -> Callable[[re.Match[str]], str]:
    def name(match: re.Match[str]) -> str:
        return f"neck.{kind}.{int(match[1]) - first}.0.{VARIABLES[match[2]]}"

    return name


def _subnet(match: re.Match[str]) -> str:
    subnet, output = HEADS[match[1]]
    if match[2] is None:
        return f"head.{output}.{VARIABLES[match[3]]}"
    return f"head.{subnet}.{match[2]}.conv.{VARIABLES[match[3]]}"


def rules(_: Iterable[str]) -> Rules:
    """``layer/variable`` names."""
    return (
        (rf"(conv1|bn_conv1)/{VARIABLE}", _stem),
        (rf"(res|bn)([2-5])([a-z])(\d*)_branch(1|2[abc])/{VARIABLE}", _block),
        (rf"C([3-5])_reduced/{VARIABLE}", _level("lateral", 3)),
        (rf"P([3-5])/{VARIABLE}", _level("output", 3)),
        (rf"P([67])/{VARIABLE}", _level("extra", 6)),
        (rf"pyramid_(classification|regression)(?:_(\d))?/{VARIABLE}", _subnet),
    )


def transform(name: str, target: str, tensor: Tensor) -> Transformed:
    """Kernels are stored height, width, in, out."""
    if name.endswith("/kernel") and tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1).contiguous(), "HWIO to OIHW"
    return tensor, ""


LAYOUT = Layout(
    "keras_retinanet",
    "keras_retinanet",
    "fizyr's keras-retinanet",
    (r"C3_reduced/kernel", r"pyramid_classification/kernel", r"conv1/kernel"),
    rules,
    (800, 1344),
    ((r"fc1000/.*", "the image classifier's last layer, unused in a detector"),),
    transform=transform,
)
