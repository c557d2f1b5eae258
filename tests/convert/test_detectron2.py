"""detectron2's names, anchors (size-major, at the corner), coder and pixels; written from its published sources.

Not run against detectron2 itself.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import torch
from tests.convert.conftest import (
    BOTTLENECK,
    Reference,
    Weights,
    assert_equal_outputs,
    by_anchor,
    centre_decode,
    grid,
    load_converted,
    residual_stages,
    stem,
    upsample,
)
from torch import Tensor

from foveal.bench.twins import make_picture
from foveal.convert.fitting import check_anchors
from foveal.convert.layouts.detectron2 import LAYOUT
from foveal.convert.reading import Source
from foveal.errors import ModelFileError

CLASSES, SIZE = 3, (128, 160)
MEAN = torch.tensor([103.53, 116.28, 123.675], dtype=torch.float64).view(1, 3, 1, 1)
STRIDES = (8, 16, 32, 64, 128)


def block(stage: int, number: int, part: str) -> str:
    layer = {"shortcut": "shortcut", "shortcut_bn": "shortcut.norm"}.get(part) or (
        part if part.startswith("conv") else f"conv{part[-1]}.norm"
    )
    return f"backbone.bottom_up.res{stage + 1}.{number}.{layer}"


def cell(stride: int) -> Tensor:
    """DefaultAnchorGenerator: for every size all ratios."""
    boxes = []
    for octave in range(3):
        area = (stride * 4 * 2 ** (octave / 3)) ** 2
        for ratio in (0.5, 1.0, 2.0):
            width = math.sqrt(area / ratio)
            boxes.append([-width / 2, -width * ratio / 2, width / 2, width * ratio / 2])
    return torch.tensor(boxes, dtype=torch.float64)


@torch.no_grad()
def reference(net: Weights, images: Tensor) -> Reference:
    """BGR, means taken off, no deviation; the first 1x1 of a stage has its stride (MSRA's ResNets)."""
    pixels = images.double().flip(1) - MEAN
    x = stem(net, pixels, "backbone.bottom_up.stem.conv1", "backbone.bottom_up.stem.conv1.norm")
    _, *maps = residual_stages(net, x, BOTTLENECK, block, stride_in_1x1=True)
    names = [3, 4, 5]
    merged = [
        net.conv(c, f"backbone.fpn_lateral{n}", 256, 1, bias=True) for n, c in zip(names, maps, strict=True)
    ]
    merged[1] = merged[1] + upsample(merged[2], merged[1])
    merged[0] = merged[0] + upsample(merged[1], merged[0])
    levels = [
        net.conv(p, f"backbone.fpn_output{n}", 256, 3, bias=True) for n, p in zip(names, merged, strict=True)
    ]
    levels.append(net.conv(maps[2], "backbone.top_block.p6", 256, 3, 2, bias=True))
    levels.append(net.conv(levels[3].relu(), "backbone.top_block.p7", 256, 3, 2, bias=True))
    result = Reference([], [], [])
    for stride, level in zip(STRIDES, levels, strict=True):
        outputs = []
        for subnet, last, columns in (("cls_subnet", "cls_score", CLASSES), ("bbox_subnet", "bbox_pred", 4)):
            y = level
            for layer in (0, 2, 4, 6):
                y = net.conv(y, f"head.{subnet}.{layer}", 256, 3, bias=True).relu()
            y = net.conv(y, f"head.{last}", 9 * columns, 3, bias=True, spread=0.4)
            outputs.append(by_anchor(y, columns))
        anchors = (grid(*level.shape[-2:], stride, 0.0) + cell(stride)).view(-1, 4)
        result.logits.append(outputs[0])
        result.deltas.append(outputs[1])
        result.boxes.append(centre_decode(anchors, outputs[1]))
    return result


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(make_picture(*SIZE)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def net(images: Tensor) -> Weights:
    made = Weights()
    reference(made, images)
    for level, stride in enumerate(STRIDES):
        made.state[f"anchor_generator.cell_anchors.{level}"] = cell(stride).float()
    made.state["pixel_mean"] = MEAN.float()[0]
    made.state["pixel_std"] = torch.ones(3, 1, 1)
    return made


def test_the_same_outputs_and_boxes(net: Weights, images: Tensor, tmp_path: Path) -> None:
    """From a .pkl of numpy arrays, as its model zoo has them."""
    source = tmp_path / "model_final.pkl"
    content = {"model": {k: v.numpy() for k, v in net.state.items()}, "__author__": "Detectron2 Model Zoo"}
    source.write_bytes(pickle.dumps(content, protocol=2))
    ours = load_converted(source, image_size=SIZE)
    assert_equal_outputs(ours, images, reference(net, images))


@pytest.mark.parametrize(
    ("anchors", "said"),
    [(cell(8) * 0.5, r"has anchors of sides \[16\.0, 20\.2, 25\.4\]"), (cell(8).flip(0), "in another order")],
)
def test_other_anchors_are_refused(anchors: Tensor, said: str) -> None:
    """Old files hold them; where they differ from the settings', boxes would be wrong silently."""
    name, cells = "anchor_generator.cell_anchors.0", [cell(8).float(), cell(16).float()]
    check_anchors(Path("a.pkl"), LAYOUT.cell_anchors, {name: cell(8).float() + 0.001}, cells)
    with pytest.raises(ModelFileError, match=said):
        check_anchors(Path("a.pkl"), LAYOUT.cell_anchors, {name: anchors.float()}, cells)


def test_pixels_of_the_file() -> None:
    """Means and deviations, where the file holds them; ImageNet's deviations come with torchvision's ResNets."""
    pixels = {"pixel_mean": torch.ones(3, 1, 1), "pixel_std": torch.tensor([57.375, 57.12, 58.395])}
    found = LAYOUT.settings(Source(Path("a.pth"), "PyTorch", "", pixels, {}), {})
    assert found["architecture.pixels.mean"] == [1, 1, 1]
    assert found["architecture.pixels.std"] == pytest.approx([57.375, 57.12, 58.395])
    assert LAYOUT.settings(Source(Path("a.pth"), "PyTorch", "", {}, {}), {}) == {}
