"""Settings that fit no model are refused or warned of where the objects are made."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from foveal.build import build_detector
from foveal.config import schema
from foveal.errors import ConfigWarning, UsageError


def model(alpha: float | list[float] = 0.25, name: str = "resnet10t", **params: Any) -> schema.Model:
    backbone = {"name": name, "params": {"weights": None, "batch_norm": "trained", **params}}
    head = {"params": {"num_layers": 0}}
    return schema.Model.model_validate(
        {
            "architecture": {"backbone": backbone, "neck": {"params": {"out_channels": 8}}, "head": head},
            "losses": {"classification": {"name": "focal", "focal_alpha": alpha}},
        }
    )


def test_one_alpha_per_class() -> None:
    build_detector(model([0.25, 0.5, 0.75]), 3)
    with pytest.raises(UsageError, match=r"model\.losses\.classification\.focal_alpha: 3 numbers for 2 cl"):
        build_detector(model([0.25, 0.5, 0.75]), 2)


def test_frozen_norm_over_random_weights_is_told_once() -> None:
    frozen = model(batch_norm="frozen")
    with pytest.warns(ConfigWarning, match=r"batch_norm: frozen .* set batch_norm: trained") as caught:
        build_detector(frozen, 2)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_detector(frozen, 2, pretrained=False)  # weights follow
        build_detector(model(batch_norm="trained"), 2)
        build_detector(model(batch_norm="frozen", name="convnext_atto"), 2)  # has no batch norm
