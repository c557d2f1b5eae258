"""Weights out of a Keras .h5 file: every variable of every layer, by ``layer/variable``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveal.errors import ModelFileError, UsageError

OPTIMIZER = "optimizer_weights"
"""Group of the optimiser's own variables: no part of the network."""
MOST_BYTES = 4 << 30
"""Of all variables together; a small file may declare any number."""


def read_keras(path: Path) -> dict[str, Tensor]:
    """``layer/variable`` (``conv1/kernel``) -> tensor, as the file holds it: kernels are HWIO.

    Links out of the file are not followed. UsageError without h5py, ModelFileError for a file that is damaged,
    points out of itself, or holds other things than numbers.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise UsageError(f"{path}: reading Keras files needs h5py: pip install 'foveal[convert]'") from None
    found: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            _collect(file, h5py, path, found, [0])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{path}: damaged HDF5 file ({reason[:100]}); copy it again") from error
    return found


def _collect(group: Any, h5py: Any, path: Path, found: dict[str, Tensor], size: list[int]) -> None:
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ModelFileError(
                f"{path}: refused, {group.name}/{name} is a link; save the weights themselves"
            )
        item = group[name]
        if isinstance(item, h5py.Group):
            if name != OPTIMIZER:
                _collect(item, h5py, path, found, size)
            continue
        if item.external or item.is_virtual:
            raise ModelFileError(f"{path}: refused, the values of {item.name} lie in another file")
        if item.dtype.kind not in "fiub":
            raise ModelFileError(f"{path}: refused, {item.name} holds no numbers")
        size[0] += int(item.size) * int(item.dtype.itemsize)
        if size[0] > MOST_BYTES:
            raise ModelFileError(f"{path}: refused, it declares over {MOST_BYTES >> 30} GB of values")
        _add(found, item, path)


def _add(found: dict[str, Tensor], item: Any, path: Path) -> None:
    """One variable; a model file may hold a layer twice, which must then be the same."""
    parts = str(item.name).strip("/").split("/")
    short = "/".join([*parts[-2:-1], parts[-1].partition(":")[0]])
    value = torch.from_numpy(item[()].astype(item.dtype.newbyteorder("=")))
    if short in found and not torch.equal(found[short], value):
        raise ModelFileError(
            f"{path}: holds {short} twice with different values; save the model's weights alone"
        )
    found[short] = value
