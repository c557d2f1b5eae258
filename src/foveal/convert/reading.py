"""A foreign file -> its tensors and the plain values beside them; nothing in it is run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foveal.checkpoint.format import is_checkpoint
from foveal.checkpoint.sniff import describe_file
from foveal.checkpoint.weight_file import load_weight_file, named_tensors, read_torch_file
from foveal.convert.keras_file import read_keras
from foveal.convert.safe_pickle import read_pickle
from foveal.errors import ModelFileError

PICKLES = (".pkl", ".pickle")
WRAPPING = ("module.", "_orig_mod.", "model.")
"""What programs put in front of every name: data parallel, torch.compile, Lightning."""


class Source(NamedTuple):
    """A foreign file in memory."""

    path: Path
    kind: str
    """PyTorch, pickle, HDF5 or safetensors."""
    sha256: str
    tensors: dict[str, Tensor]
    facts: Mapping[str, Any]
    """Plain values that stand beside the weights: class names, settings."""


def read_source(path: Path) -> Source:
    """Read the file by its content. ModelFileError for whatever is not a file of named tensors."""
    if not path.exists():
        raise ModelFileError(f"{path}: no such file; give a .pth, .pt, .pkl, .h5 or .safetensors file")
    if path.is_dir():
        raise ModelFileError(f"{path}: a folder; give the file of weights in it")
    kind, tensors, facts = _read(path)
    if not tensors:
        raise ModelFileError(f"{path}: holds no named tensors; save the network's state_dict")
    return Source(path, kind, _sha256(path), _unwrapped(tensors), facts)


def _read(path: Path) -> tuple[str, dict[str, Tensor], Mapping[str, Any]]:
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"\x89HDF"):
        return "HDF5", read_keras(path), {}
    if start[8:9] == b"{" and path.suffix == ".safetensors":
        if is_checkpoint(path):
            raise ModelFileError(f"{path}: a Foveal checkpoint already; use it as it is")
        return "safetensors", load_weight_file(path), {}
    if path.suffix in PICKLES and not start.startswith(b"PK"):
        if not start.startswith(b"\x80"):
            raise ModelFileError(f"{path}: {_what(path)}")
        content = read_pickle(path)
        tensors = named_tensors(_as_tensors(content))
        return "pickle", tensors, _facts(content)
    if not start.startswith((b"PK", b"\x80")):
        raise ModelFileError(f"{path}: {_what(path)}")
    try:
        content = read_torch_file(path)
    except ModelFileError as error:
        raise _naming(path, error) from error
    return "PyTorch", named_tensors(content), _facts(content)


def _what(path: Path) -> str:
    """``describe_file``, whose advice is meant for those who look for a checkpoint."""
    said = describe_file(path).partition(";")[0]
    return f"{said}; needed are a detector's weights, in a .pth, .pt, .pkl, .h5 or .safetensors file"


def _naming(path: Path, error: ModelFileError) -> ModelFileError:
    """The error of a refused pickle, with the name it asks for."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error.__cause__ or ""))
    if asked is None or "refused" not in str(error):
        return error
    return ModelFileError(
        f"{path}: refused, it asks for {asked[1][:80]}, and such a file may run code when read; save the "
        "state_dict alone, as .safetensors or .pth, with the program that made it"
    )


def _as_tensors(content: Any) -> Any:
    if isinstance(content, np.ndarray):
        return torch.from_numpy(content)
    if isinstance(content, Mapping):
        return {str(key): _as_tensors(value) for key, value in content.items()}
    return content


def _facts(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what stands in front of all of them."""
    for start in WRAPPING:
        if all(name.startswith(start) for name in tensors):
            return _unwrapped({name.removeprefix(start): value for name, value in tensors.items()})
    return tensors


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
