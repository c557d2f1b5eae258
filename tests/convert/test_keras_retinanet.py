"""keras-retinanet: HWIO kernels, TensorFlow's padding, Caffe's pixels, corner deltas; from its published sources.

Not run against Keras itself.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.convert.conftest import (
    BOTTLENECK,
    Reference,
    Weights,
    assert_equal_outputs,
    by_anchor,
    grid,
    load_converted,
    residual_stages,
    upsample,
)
from torch import Tensor

from foveal.bench.twins import make_picture
from foveal.errors import ModelFileError, UsageError
from foveal.verbs.convert import convert

h5py = pytest.importorskip("h5py")

CLASSES, SIZE = 3, (192, 160)
"""C5 is 6 x 5, P6 3 x 3: one side of each parity, which TensorFlow pads in two ways."""
MEAN = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).view(1, 3, 1, 1)
STRIDES = (8, 16, 32, 64, 128)


class KerasWeights(Weights):
    """The pyramid's convolutions pad as "same" does; those of the ResNet by a layer before them, on all sides."""

    same = False

    def convolve(self, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        if not self.same:
            return super().convolve(x, weight, stride)
        return F.conv2d(pad_same(x, weight.shape[-1], stride), weight, None, stride)


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's rule: as many outputs as ceil(side / stride), the odd pixel behind."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def block(stage: int, number: int, part: str) -> str:
    """keras-resnet's ResNet50: res2a_branch2a, bn2a_branch2a, ..., res2a_branch1."""
    start = f"{{}}{stage + 1}{'abcdef'[number]}_branch"
    if part.startswith("shortcut"):
        return start.format("bn" if part.endswith("bn") else "res") + "1"
    return start.format("res" if part.startswith("conv") else "bn") + "2" + "abc"[int(part[-1]) - 1]


@torch.no_grad()
def reference(net: KerasWeights, images: Tensor) -> Reference:
    pixels = images.double().flip(1) - MEAN
    net.same = False
    x = net.norm(net.conv(pixels, "conv1", 64, 7, 2), "bn_conv1").relu()
    x = F.max_pool2d(pad_same(x, 3, 2, -math.inf), 3, 2)
    _, *maps = residual_stages(net, x, BOTTLENECK, block, stride_in_1x1=True)
    net.same = True
    merged = [net.conv(c, f"C{i}_reduced", 256, 1, bias=True) for i, c in enumerate(maps, start=3)]
    merged[1] = merged[1] + upsample(merged[2], merged[1])
    merged[0] = merged[0] + upsample(merged[1], merged[0])
    levels = [net.conv(p, f"P{i}", 256, 3, bias=True) for i, p in enumerate(merged, start=3)]
    levels.append(net.conv(maps[2], "P6", 256, 3, 2, bias=True))
    levels.append(net.conv(levels[3].relu(), "P7", 256, 3, 2, bias=True))
    result = Reference([], [], [])
    for stride, level in zip(STRIDES, levels, strict=True):
        found = []
        for kind, columns in (("classification", CLASSES), ("regression", 4)):
            y = level
            for layer in range(4):
                y = net.conv(y, f"pyramid_{kind}_{layer}", 256, 3, bias=True).relu()
            found.append(
                by_anchor(net.conv(y, f"pyramid_{kind}", 9 * columns, 3, bias=True, spread=0.4), columns)
            )
        result.logits.append(found[0])
        result.deltas.append(found[1])
        result.boxes.append(decode(found[1], stride, *level.shape[-2:]))
    return result


def decode(deltas: Tensor, stride: int, height: int, width: int) -> Tensor:
    """generate_anchors(4 x stride) around the cell's middle; corners move by shares of its sides, over 0.2."""
    cells = []
    for ratio in (0.5, 1.0, 2.0):
        for octave in range(3):
            w = math.sqrt((4 * stride * 2 ** (octave / 3)) ** 2 / ratio)
            cells.append([-w / 2, -w * ratio / 2, w / 2, w * ratio / 2])
    anchors = (grid(height, width, stride, 0.5) + torch.tensor(cells, dtype=torch.float64)).view(-1, 4)
    side = (anchors[:, 2:] - anchors[:, :2]).repeat(1, 2)
    return anchors + deltas * 0.2 * side


VARIABLES = {"running_mean": "moving_mean:0", "running_var": "moving_variance:0"}


def write_h5(path: Path, state: dict[str, Tensor], group: str = "model_weights") -> None:
    """Layer groups as Keras nests them; the subnets are models inside the model."""
    with h5py.File(path, "w") as file:
        for name, value in state.items():
            layer, _, tensor = name.rpartition(".")
            kind = layer.split("_")[1] if layer.startswith("pyramid") else None
            place = f"{kind}_submodel/{layer}" if kind else f"{layer}/{layer}"
            if value.ndim == 4:
                tensor, value = "kernel:0", value.permute(2, 3, 1, 0)
            elif f"{layer}.running_var" in state:
                tensor = {"weight": "gamma:0", "bias": "beta:0"}.get(tensor) or VARIABLES[tensor]
            else:
                tensor = "bias:0"
            file[f"{group}/{place}/{tensor}"] = np.ascontiguousarray(value.numpy())
        file["optimizer_weights/Adam/iterations:0"] = np.int64(7)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(make_picture(*SIZE)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def net(images: Tensor) -> KerasWeights:
    made = KerasWeights()
    reference(made, images)
    return made


def test_the_same_outputs_and_boxes(net: KerasWeights, images: Tensor, tmp_path: Path) -> None:
    write_h5(tmp_path / "snapshot.h5", net.state)
    ours = load_converted(tmp_path / "snapshot.h5", image_size=SIZE)
    assert_equal_outputs(ours, images, reference(net, images))


def test_blocks_by_number() -> None:
    """Deeper nets number their blocks: res4b1 is block 1 of the stage."""
    from foveal.convert.layouts.keras_retinanet import rules
    from foveal.convert.renaming import our_name

    layers = ("res4a_branch2a", "res4b22_branch2c", "res5c_branch2b")
    found = [our_name(f"{layer}/kernel", rules(())) for layer in layers]
    start = "backbone.body.layer"
    assert found == [f"{start}3.0.conv1.weight", f"{start}3.22.conv3.weight", f"{start}4.2.conv2.weight"]


def test_links_and_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    write_h5(secret, {"conv1.weight": torch.zeros(4, 3, 7, 7)})
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["model_weights"] = h5py.ExternalLink("secret.h5", "/model_weights")
    with pytest.raises(ModelFileError, match="is a link"):
        convert(outside, tmp_path / "o.safetensors")
    raw = tmp_path / "raw.h5"
    with h5py.File(raw, "w") as file:
        file.create_dataset("conv1/kernel:0", (4,), "f4", external=[(str(secret), 0, 16)])
    with pytest.raises(ModelFileError, match="lie in another file"):
        convert(raw, tmp_path / "o.safetensors")
    huge = tmp_path / "huge.h5"
    with h5py.File(huge, "w") as file:
        file.create_dataset("conv1/kernel:0", (1 << 40,), "f4", chunks=(1024,))
    with pytest.raises(ModelFileError, match="declares over 4 GB"):
        convert(huge, tmp_path / "o.safetensors")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(secret.read_bytes()[:2000])
    with pytest.raises(ModelFileError, match="damaged HDF5 file"):
        convert(cut, tmp_path / "o.safetensors")
    assert not (tmp_path / "o.safetensors").exists()


def test_without_h5py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    write_h5(tmp_path / "a.h5", {"conv1.weight": torch.zeros(4, 3, 7, 7)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'foveal\[convert\]'"):
        convert(tmp_path / "a.h5", tmp_path / "o.safetensors")
