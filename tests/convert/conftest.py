"""Converted models beside what they were converted from: pictures, and the parts of small reference networks.

A reference network is written in each test from the published names and rules of its program, in plain functions:
its weights come into being, under that program's names, when they are first used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.models import resnet18

from foveal.bench.twins import make_picture
from foveal.checkpoint.format import load_checkpoint
from foveal.models.inference import InferenceModel
from foveal.runtime.model_file import load_inference
from foveal.types import Array
from foveal.verbs.convert import convert

CANVAS = (256, 320)
Convert = Callable[..., InferenceModel]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small pictures: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """A function (content of a PyTorch file, its name, options) -> our model from its checkpoint."""

    def run(content: Any, name: str = "weights.pth", **options: Any) -> InferenceModel:
        source = tmp_path_factory.mktemp("converted") / name
        torch.save(content, source)
        return load_converted(source, **options)

    return run


def load_converted(source: Path, **options: Any) -> InferenceModel:
    """Convert a file with the verb, and build the model that its checkpoint describes."""
    output = source.with_name("ours.safetensors")
    convert(source, output, **{"image_size": CANVAS, **options})
    return load_inference(load_checkpoint(output), output)


@pytest.fixture(scope="session")
def pictures(shared: Path) -> list[Array]:
    """Photographs of the canvas' size, so that neither side resizes or pads."""
    files = sorted((shared / "data" / "photos").glob("*.jpg"))[:3]
    size = (CANVAS[1], CANVAS[0])
    return [_pixels(Image.open(file).convert("RGB").resize(size)) for file in files]


def _pixels(picture: Image.Image) -> Array:
    return np.asarray(picture).copy()


@pytest.fixture(scope="session")
def scene() -> Array:
    """A generated picture of the canvas' size."""
    return make_picture(*CANVAS)


def batch(picture: Array) -> Tensor:
    """[1, 3, H, W] uint8."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()


class Weights:
    """A network's tensors by name, random, made when first used, and the layers that use them (float64)."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.random = torch.Generator().manual_seed(0)

    def get(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of a name, rounded to float32 as a file stores it."""
        if name not in self.state:
            self.state[name] = make().float()
        return self.state[name].double()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random, dtype=torch.float64)

    def conv(
        self,
        x: Tensor,
        name: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        bias: bool = False,
        spread: float = 0.0,
    ) -> Tensor:
        """Convolution with symmetric padding. spread: standard deviation wanted of the first output."""
        shape = (channels, x.shape[1], kernel, kernel)
        fan = x.shape[1] * kernel * kernel

        def make() -> Tensor:
            weight = self.normal(*shape) * math.sqrt(2 / fan)
            return weight * spread / self.convolve(x, weight, stride).std() if spread else weight

        y = self.convolve(x, self.get(f"{name}.weight", make), stride)
        if bias:
            y = y + self.get(f"{name}.bias", lambda: self.normal(channels) * 0.1).view(1, -1, 1, 1)
        return y

    def convolve(self, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """The padding's rule."""
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Batch norm with the statistics of the first input."""
        mean = self.get(f"{name}.running_mean", lambda: x.mean(dim=(0, 2, 3)))
        var = self.get(f"{name}.running_var", lambda: x.var(dim=(0, 2, 3)) + 0.01)
        gamma = self.get(f"{name}.weight", lambda: 1 + 0.2 * self.normal(x.shape[1]))
        beta = self.get(f"{name}.bias", lambda: 0.2 * self.normal(x.shape[1]))
        scale = gamma / (var + 1e-5).sqrt()
        return x * scale.view(1, -1, 1, 1) + (beta - mean * scale).view(1, -1, 1, 1)


Naming = Callable[[int, int, str], str]
"""(stage 1..4, block, conv1 | bn1 | ... | shortcut | shortcut_bn) -> name."""
BASIC, BOTTLENECK = (2, 2, 2, 2), (3, 4, 6, 3)


def residual_stages(
    net: Weights, x: Tensor, blocks: Sequence[int], name: Naming, stride_in_1x1: bool = False
) -> list[Tensor]:
    """C2..C5 of a ResNet of 18 (basic blocks) or 50 layers (bottlenecks) behind its pooling; He et al. 2015."""
    bottleneck = tuple(blocks) == BOTTLENECK
    maps = []
    for stage, count in enumerate(blocks, start=1):
        width = 32 * 2**stage
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            first, second = (stride, 1) if stride_in_1x1 or not bottleneck else (1, stride)
            y = net.conv(x, name(stage, block, "conv1"), width, 1 if bottleneck else 3, first)
            y = net.norm(y, name(stage, block, "bn1")).relu()
            y = net.conv(y, name(stage, block, "conv2"), width, 3, second)
            y = net.norm(y, name(stage, block, "bn2"))
            if bottleneck:
                y = net.conv(y.relu(), name(stage, block, "conv3"), 4 * width, 1)
                y = net.norm(y, name(stage, block, "bn3"))
            if y.shape != x.shape:
                x = net.conv(x, name(stage, block, "shortcut"), y.shape[1], 1, stride)
                x = net.norm(x, name(stage, block, "shortcut_bn"))
            x = (x + y).relu()
        maps.append(x)
    return maps


def torchvision_block(start: str) -> Naming:
    """Names of torchvision's ResNet, which most programs took over."""
    parts = {"shortcut": "downsample.0", "shortcut_bn": "downsample.1"}
    return lambda stage, block, part: f"{start}layer{stage}.{block}.{parts.get(part, part)}"


def stem(net: Weights, pixels: Tensor, conv: str, norm: str) -> Tensor:
    """The first convolution, and max pooling with symmetric padding."""
    return F.max_pool2d(net.norm(net.conv(pixels, conv, 64, 7, 2), norm).relu(), 3, 2, 1)


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Nearest neighbour."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def by_anchor(output: Tensor, columns: int) -> Tensor:
    """[B, A * columns, H, W] -> [H * W * A, columns] of the first picture, anchor by anchor."""
    _, channels, height, width = output.shape
    split = output[0].view(channels // columns, columns, height, width)
    return split.permute(2, 3, 0, 1).reshape(-1, columns)


def centre_decode(anchors: Tensor, deltas: Tensor) -> Tensor:
    """R-CNN's (dx, dy, dw, dh)."""
    side, centre = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    middle, half = centre + deltas[:, :2] * side, deltas[:, 2:].exp() * side / 2
    return torch.cat([middle - half, middle + half], dim=1)


class Reference:
    """What a reference network said of a picture: raw outputs per level, and the boxes it decodes."""

    def __init__(self, logits: list[Tensor], deltas: list[Tensor], boxes: list[Tensor]) -> None:
        self.logits, self.deltas, self.boxes = logits, deltas, boxes


@torch.no_grad()
def assert_equal_outputs(ours: InferenceModel, images: Tensor, theirs: Reference) -> None:
    """Logits, deltas and all decoded boxes of every level, computed in float64 on both sides."""
    outputs = ours.detector.double()(images)
    assert len(outputs.cls_logits) == len(theirs.logits)
    for level, anchors in enumerate(outputs.anchors):
        logits, deltas = outputs.cls_logits[level][0], outputs.bbox_deltas[level][0]
        torch.testing.assert_close(logits, theirs.logits[level], rtol=0, atol=1e-5)
        torch.testing.assert_close(deltas, theirs.deltas[level], rtol=0, atol=1e-5)
        boxes = ours.decoder.coder.decode(deltas, anchors.boxes)  # type: ignore[attr-defined]
        torch.testing.assert_close(boxes, theirs.boxes[level], rtol=1e-5, atol=1e-3)
    spread = torch.cat([level.flatten() for level in theirs.logits]).std()
    assert spread > 0.1, "outputs that are all alike would prove nothing"


def grid(height: int, width: int, step: float, offset: float) -> Tensor:
    """[H * W, 1, 4]: the cells' places, row by row, for both corners."""
    y, x = torch.meshgrid(
        (torch.arange(height, dtype=torch.float64) + offset) * step,
        (torch.arange(width, dtype=torch.float64) + offset) * step,
        indexing="ij",
    )
    return torch.stack([x, y, x, y], dim=-1).view(-1, 1, 4)


def plain_state(num_classes: int = 3) -> dict[str, Tensor]:
    """A small file's tensors under yhenon's names, of the right shapes: ResNet18, zeros and ones."""
    state = {name: t for name, t in resnet18().state_dict().items() if not name.startswith("fc.")}
    for level, channels in ((3, 128), (4, 256), (5, 512)):
        _add(state, f"fpn.P{level}_1", 256, channels, 1)
        _add(state, f"fpn.P{level}_2", 256, 256, 3)
    _add(state, "fpn.P6", 256, 512, 3)
    _add(state, "fpn.P7_2", 256, 256, 3)
    for kind, columns in (("classification", num_classes), ("regression", 4)):
        for layer in range(1, 5):
            _add(state, f"{kind}Model.conv{layer}", 256, 256, 3)
        _add(state, f"{kind}Model.output", 9 * columns, 256, 3)
    return state


def _add(state: dict[str, Tensor], name: str, channels: int, inputs: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.zeros(channels, inputs, kernel, kernel)
    state[f"{name}.bias"] = torch.zeros(channels)
