"""Several processes on one CPU, with gloo between them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CONFIG = """\
data:
  train: {format: shapes, pictures: 34, classes: 2, size: 64, seed: 3}
  val: {format: shapes, pictures: 18, classes: 2, size: 64, seed: 4}
  image_size: [64, 64]
  augment: {horizontal_flip: 0.5, scale_jitter: [0.7, 1.4], colour: 0.3, crop: 0.3, mosaic: 0.3,
            multi_scale: [1.0, 1.5]}
  class_aware_sampling: true
  workers: 1
model:
  architecture:
    backbone: {name: lcnet_050, params: {weights: null, batch_norm: frozen}}
    neck: {params: {out_channels: 32, norm_type: group_norm}}
    head:
      params: {anchor_sizes: [[16], [32], [64]], aspect_ratios: [1.0], num_layers: 1, norm_type: group_norm}
  losses:
    assigner: {name: atss}
    box: {name: giou}
training:
  max_steps: 12
  batch_size: 4
  optimizer: {name: sgd, lr_per_16: 0.02}
  ema: {decay: 0.9}
  device: cpu
"""
"""34 pictures: four steps of eight, and two left over. 18: an odd number of batches of four, and two left over."""


def _ranks_module() -> Any:
    spec = importlib.util.spec_from_file_location("ranks", HERE / "ranks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Runs ``foveal`` in two processes."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    ranks = _ranks_module().Ranks(tmp_path_factory.mktemp("logs"))
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that trains in seconds, with all that chance has a part in."""
    file = tmp_path_factory.mktemp("distributed") / "tiny.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="session")
def undisturbed(ranks: Any, config: Path) -> Path:
    """The run folder of two processes that nothing happened to."""
    done = ranks("train", config, "--name", "two", folder=config.parent)
    assert done.codes == [0, 0], done.err
    return config.parent / "runs" / "two"
