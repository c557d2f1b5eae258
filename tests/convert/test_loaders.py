"""S8: nothing in the sources runs what a file says. The whole form is ``tests/torture/hostile_models.py``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def loaders() -> ModuleType:
    """``torture/loaders.py``."""
    spec = importlib.util.spec_from_file_location("loaders", TESTS / "torture" / "loaders.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_loader_runs_code(loaders: ModuleType) -> None:
    assert loaders.unsafe_calls(TESTS.parent / "src") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from torch import load as read\nread(file)", "torch.load without weights_only"),
        ("import torch\ntorch.load(file, weights_only=False)", "weights_only=False"),
        ("import torch\ntorch.load(file, weights_only=trusted)", "weights_only=trusted"),
        ("import pickle as p\np.loads(content)", "pickle.loads"),
        ("from pickle import Unpickler\nclass Mine(Unpickler): ...", "pickle.Unpickler"),
        ("import yaml\nyaml.load(text, Loader=mine)", "yaml.load"),
        ("import yaml\nclass Mine(yaml.FullLoader): ...", "yaml.FullLoader"),
        ("import numpy\nnumpy.load(file, allow_pickle=True)", "allow_pickle=True"),
        ("eval(text)", "eval"),
    ],
)
def test_loaders_that_do_are_found(loaders: ModuleType, text: str, said: str) -> None:
    assert said in [what for _, what in loaders.unsafe_names(text)]


def test_what_is_harmless_is_not(loaders: ModuleType) -> None:
    text = (
        "import torch, yaml\ntorch.load(f, weights_only=True)\nyaml.safe_load(t)\nmodel.eval()\njson.load(f)"
    )
    assert list(loaders.unsafe_names(text)) == []
