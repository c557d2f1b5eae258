"""mmdetection, odtk, yhenon and NetsPresso: names, levels, anchors, coders; written from their published sources.

Not run against the programs themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from tests.convert.conftest import (
    BASIC,
    Convert,
    Reference,
    Weights,
    assert_equal_outputs,
    by_anchor,
    centre_decode,
    grid,
    residual_stages,
    stem,
    torchvision_block,
    upsample,
)
from torch import Tensor

from foveal.bench.twins import make_picture

CLASSES, SIZE = 3, (128, 256)
STRIDES = (8, 16, 32, 64, 128)
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
RATIOS, OCTAVES = (0.5, 1.0, 2.0), tuple(2 ** (octave / 3) for octave in range(3))


def normalised(images: Tensor) -> Tensor:
    """RGB, ImageNet's mean and deviation."""
    return (images.double() / 255 - MEAN) / STD


class Names(NamedTuple):
    """Where a program keeps its layers."""

    body: str
    lateral: Callable[[int], str]
    """0 for P3."""
    output: Callable[[int], str]
    p6: str
    p7: str
    subnet: Callable[[str, int], str]
    """(cls | box, layer)."""
    last: dict[str, str]


def pyramid(net: Weights, images: Tensor, names: Names, relu: bool) -> list[Tensor]:
    """P3..P7 of 256 channels, P6 from C5."""
    x = stem(net, normalised(images), f"{names.body}conv1", f"{names.body}bn1")
    _, *maps = residual_stages(net, x, BASIC, torchvision_block(names.body))
    merged = [net.conv(c, names.lateral(i), 256, 1, bias=True) for i, c in enumerate(maps)]
    merged[1] = merged[1] + upsample(merged[2], merged[1])
    merged[0] = merged[0] + upsample(merged[1], merged[0])
    levels = [net.conv(p, names.output(i), 256, 3, bias=True) for i, p in enumerate(merged)]
    levels.append(net.conv(maps[2], names.p6, 256, 3, 2, bias=True))
    levels.append(net.conv(levels[3].relu() if relu else levels[3], names.p7, 256, 3, 2, bias=True))
    return levels


def outputs(net: Weights, level: Tensor, names: Names) -> tuple[Tensor, Tensor]:
    """Logits and deltas of a level, four convolutions with ReLU before each."""
    found = []
    for kind, columns in (("cls", CLASSES), ("box", 4)):
        y = level
        for layer in range(4):
            y = net.conv(y, names.subnet(kind, layer), 256, 3, bias=True).relu()
        found.append(by_anchor(net.conv(y, names.last[kind], 9 * columns, 3, bias=True, spread=0.4), columns))
    return found[0], found[1]


MMDETECTION = Names(
    "backbone.",
    "neck.lateral_convs.{}.conv".format,
    "neck.fpn_convs.{}.conv".format,
    "neck.fpn_convs.3.conv",
    "neck.fpn_convs.4.conv",
    lambda kind, layer: f"bbox_head.{'cls' if kind == 'cls' else 'reg'}_convs.{layer}.conv",
    {"cls": "bbox_head.retina_cls", "box": "bbox_head.retina_reg"},
)
ODTK = Names(
    "backbones.ResNet18FPN.features.",
    lambda level: f"backbones.ResNet18FPN.lateral{level + 3}",
    lambda level: f"backbones.ResNet18FPN.smooth{level + 3}",
    "backbones.ResNet18FPN.pyramid6",
    "backbones.ResNet18FPN.pyramid7",
    lambda kind, layer: f"{kind}_head.{2 * layer}",
    {"cls": "cls_head.8", "box": "box_head.8"},
)
YHENON = Names(
    "",
    lambda level: f"fpn.P{level + 3}_1",
    lambda level: f"fpn.P{level + 3}_2",
    "fpn.P6",
    "fpn.P7_2",
    lambda kind, layer: f"{'classification' if kind == 'cls' else 'regression'}Model.conv{layer + 1}",
    {"cls": "classificationModel.output", "box": "regressionModel.output"},
)


def mmdetection_boxes(deltas: Tensor, stride: int, height: int, width: int) -> Tensor:
    """AnchorGenerator: all scales of a ratio, around the cell's corner; DeltaXYWHBBoxCoder."""
    cells = []
    for ratio in RATIOS:
        for octave in OCTAVES:
            side = stride * 4 * octave
            w, h = side / math.sqrt(ratio), side * math.sqrt(ratio)
            cells.append([-w / 2, -h / 2, w / 2, h / 2])
    anchors = grid(height, width, stride, 0.0) + torch.tensor(cells, dtype=torch.float64)
    return centre_decode(anchors.view(-1, 4), deltas)


def odtk_boxes(deltas: Tensor, stride: int, height: int, width: int) -> Tensor:
    """generate_anchors: all ratios (1, 2, 0.5) of a scale, in the cell's middle, sides of x2 - x1 + 1 pixels.

    Its boxes hold their last pixels; ours end behind them.
    """
    cells = []
    for octave in OCTAVES:
        for ratio in (1.0, 2.0, 0.5):
            w = math.sqrt(stride * stride / ratio) * 4 * octave
            h = w * ratio
            cells.append([(stride - w) / 2, (stride - h) / 2, (stride + w) / 2, (stride + h) / 2])
    anchors = (grid(height, width, stride, 0.0) + torch.tensor(cells, dtype=torch.float64)).view(-1, 4)
    side = anchors[:, 2:] - anchors[:, :2] + 1
    centre = anchors[:, :2] + side / 2 + deltas[:, :2] * side
    half = deltas[:, 2:].exp() * side / 2
    inclusive = torch.cat([centre - half, centre + half - 1], dim=1)
    return inclusive + torch.tensor([0.0, 0.0, 1.0, 1.0])


def yhenon_boxes(deltas: Tensor, stride: int, height: int, width: int) -> Tensor:
    """generate_anchors with base 4 x stride, shifts by half a cell; BBoxTransform's deviations .1, .1, .2, .2."""
    cells = []
    for ratio in RATIOS:
        for octave in OCTAVES:
            w = math.sqrt((4 * stride * octave) ** 2 / ratio)
            cells.append([-w / 2, -w * ratio / 2, w / 2, w * ratio / 2])
    anchors = (grid(height, width, stride, 0.5) + torch.tensor(cells, dtype=torch.float64)).view(-1, 4)
    return centre_decode(anchors, deltas * torch.tensor([0.1, 0.1, 0.2, 0.2], dtype=torch.float64))


def mmdetection_file(state: dict[str, Tensor]) -> Any:
    extra = {"ema_backbone_conv1_weight": state["backbone.conv1.weight"] * 2}
    return {"meta": {"CLASSES": ("cup", "fork", "knife"), "epoch": 12}, "state_dict": {**state, **extra}}


def odtk_file(state: dict[str, Tensor]) -> Any:
    fc = {f"{ODTK.body}fc.weight": torch.zeros(1000, 512), f"{ODTK.body}fc.bias": torch.zeros(1000)}
    scales = [4 * octave for octave in OCTAVES]
    return {
        "backbone": ["ResNet18FPN"],
        "classes": CLASSES,
        "ratios": [1.0, 2.0, 0.5],
        "scales": scales,
        "state_dict": {**state, **fc},
    }


def yhenon_file(state: dict[str, Tensor]) -> Any:
    counters = {"bn1.num_batches_tracked": torch.tensor(7)}
    return {f"module.{name}": value for name, value in {**state, **counters}.items()}


class Program(NamedTuple):
    names: Names
    relu: bool
    boxes: Callable[[Tensor, int, int, int], Tensor]
    file: Callable[[dict[str, Tensor]], Any]


PROGRAMS = {
    "mmdetection": Program(MMDETECTION, False, mmdetection_boxes, mmdetection_file),
    "odtk": Program(ODTK, True, odtk_boxes, odtk_file),
    "yhenon": Program(YHENON, True, yhenon_boxes, yhenon_file),
}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(make_picture(*SIZE)).permute(2, 0, 1)[None]


@torch.no_grad()
def reference(net: Weights, images: Tensor, program: Program) -> Reference:
    result = Reference([], [], [])
    for stride, level in zip(STRIDES, pyramid(net, images, program.names, program.relu), strict=True):
        logits, deltas = outputs(net, level, program.names)
        result.logits.append(logits)
        result.deltas.append(deltas)
        result.boxes.append(program.boxes(deltas, stride, *level.shape[-2:]))
    return result


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_outputs_and_boxes(name: str, images: Tensor, converted: Convert) -> None:
    program, net = PROGRAMS[name], Weights()
    reference(net, images, program)  # makes the weights
    ours = converted(program.file(net.state), image_size=SIZE)
    assert_equal_outputs(ours, images, reference(net, images, program))


# ---------------------------------------------------------------- NetsPresso: P2 to P5, batch norm


@torch.no_grad()
def netspresso(net: Weights, images: Tensor) -> Reference:
    """ResNet18, a neck as wide as C5, subnets of one layer; anchors rounded, in steps of 512 over the grid."""

    def name(stage: int, block: int, part: str) -> str:
        layers = {"shortcut": "downsample.block.conv", "shortcut_bn": "downsample.block.norm"}
        own = f"conv{part[-1]}.block.{'conv' if part.startswith('conv') else 'norm'}"
        return f"backbone.stages.{stage - 1}.{block}.{layers.get(part, own)}"

    x = stem(net, normalised(images), "backbone.conv1.block.conv", "backbone.conv1.block.norm")
    maps = residual_stages(net, x, BASIC, name)
    levels = [net.conv(c, f"neck.lateral_convs.{i}", 512, 1, bias=True) for i, c in enumerate(maps)]
    for i in (2, 1, 0):
        levels[i] = levels[i] + upsample(levels[i + 1], levels[i])
    result = Reference([], [], [])
    for i, side in enumerate((32, 64, 128, 256)):
        level = net.conv(levels[i], f"neck.fpn_convs.{i}", 512, 3, bias=True)
        found = []
        for head, last, columns in (("classification", "cls_logits", CLASSES), ("regression", "bbox_reg", 4)):
            y = net.conv(level, f"head.{head}_head.conv.0.block.conv", 512, 3)
            y = net.norm(y, f"head.{head}_head.conv.0.block.norm").relu()
            y = net.conv(y, f"head.{head}_head.{last}", 3 * columns, 3, bias=True, spread=0.4)
            found.append(by_anchor(y, columns))
        cells = [[-side / r**0.5, -side * r**0.5, side / r**0.5, side * r**0.5] for r in RATIOS]
        cell = (torch.tensor(cells, dtype=torch.float64) / 2).round()
        height, width = level.shape[-2:]
        shift = grid(height, width, 1.0, 0.0) * torch.tensor([512 // width, 512 // height] * 2)
        result.logits.append(found[0])
        result.deltas.append(found[1])
        result.boxes.append(centre_decode((shift + cell).view(-1, 4), found[1]))
    return result


def test_netspresso(images: Tensor, converted: Convert) -> None:
    net = Weights()
    small = images[:, :, :96, :128]
    netspresso(net, small)
    ours = converted(net.state, image_size=(96, 128))
    assert_equal_outputs(ours, small, netspresso(net, small))
