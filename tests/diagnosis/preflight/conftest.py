"""A model and four generated pictures that it learns in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from foveal.config.load import load_config
from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.data.shapes import make_shapes
from foveal.diagnosis.preflight.attempt import Attempt, Bench, reference
from foveal.diagnosis.preflight.case import Case, backbone_features, make_case

STEPS = 60
TEXT = """\
data:
  train: {format: shapes, pictures: 12, classes: 3, size: 96}
  image_size: [96, 96]
  workers: 0
model:
  architecture:
    backbone: {name: mobilenetv2_050, params: {weights: null, batch_norm: trained}}
    neck: {params: {out_channels: 32}}
    head: {params: {anchor_sizes: [[16, 22], [32, 45]], num_layers: 1, norm_type: group_norm}}
  losses: {assigner: {name: atss}, box: {name: giou, weight: 2.0}}
training: {batch_size: 4, device: cpu, optimizer: {name: adamw, lr_per_16: 0.008}}
"""

MakeConfig = Callable[..., Config]


class Learned(NamedTuple):
    """A case and the attempt that learned it; to be read only."""

    case: Case
    attempt: Attempt


def records() -> Records:
    return make_shapes(12, 3, 96)


@pytest.fixture(scope="session")
def make_config(tmp_path_factory: pytest.TempPathFactory) -> MakeConfig:
    """A function of overrides."""
    path = tmp_path_factory.mktemp("preflight") / "config.yaml"
    path.write_text(TEXT)

    def make(*changes: str) -> Config:
        return load_config(path, changes)

    return make


@pytest.fixture(scope="session")
def learned(make_config: Any) -> Learned:
    torch.set_num_threads(1)
    case = make_case(make_config(), records(), pictures=4)
    attempt = Bench(case, backbone_features(case)).run(reference(case.config.training, 16), STEPS, print)
    return Learned(case, attempt)


@pytest.fixture(scope="session")
def trained_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's weights whose norms know generated pictures, as ImageNet's know photographs."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("mobilenetv2_050").train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    shapes = make_shapes(24, 3, 96, seed=7)
    images = torch.stack([torch.from_numpy(shapes.load(p)).permute(2, 0, 1) for p in range(24)]).float()
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1) * 255 for key in ("mean", "std"))
    with torch.no_grad():
        network((images - mean) / std)
    path = tmp_path_factory.mktemp("weights") / "shapes.safetensors"
    save_file(network.state_dict(), path)
    return path
