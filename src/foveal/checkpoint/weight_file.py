"""Foreign weights from a file: safetensors, or a PyTorch file read without running anything in it."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from foveal.checkpoint.format import is_checkpoint, load_checkpoint
from foveal.checkpoint.sniff import describe_file
from foveal.errors import ModelFileError

TORCH_STARTS = (b"PK\x03\x04", b"\x80")
"""First bytes of PyTorch's zip files and of its older pickles."""
WRAPPERS = ("state_dict", "model", "model_state_dict", "ema_state_dict")
"""Keys under which training programs put the weights inside a PyTorch file."""
BACKBONE = "backbone."


def load_weight_file(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU, of a ``.safetensors``, ``.pth`` or ``.pt`` file.

    Of a Foveal checkpoint the backbone's part, its names without ``backbone.``. Reading runs no code of the
    file's (``weights_only=True``). ModelFileError for every other kind of file.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"{path}: no such file; give a .safetensors or .pth file, or weights: null")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix in (".pth", ".pt"):
        return _load_torch(path)
    raise ModelFileError(f"{path}: not a file of weights; .safetensors, .pth and .pt can be read")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    if is_checkpoint(path):
        state = load_checkpoint(path).state
        return {name.removeprefix(BACKBONE): t for name, t in state.items() if name.startswith(BACKBONE)}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: damaged safetensors file ({error}); copy it again") from error


def read_torch_file(path: Path) -> object:
    """Whatever a PyTorch file holds, of plain values and tensors on the CPU; nothing in it is run.

    ModelFileError where it is no PyTorch file, damaged, or in need of more than that.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            if not file.read(4).startswith(TORCH_STARTS):
                raise ModelFileError(f"{path}: {describe_file(path)}")
            file.seek(0)
            warnings.simplefilter("ignore")  # torch's own words on old or foreign pickles
            # The file, and not its name: of one that ends in .safetensors torch would believe that.
            content: object = torch.load(file, map_location="cpu", weights_only=True)
            return content
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path}: refused, it holds more than tensors and may run code when read; "
            "save its state_dict as .safetensors with the program that made it"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{path}: damaged PyTorch file ({reason}); copy it again") from error


def named_tensors(content: object) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the one inside a training program's file; empty where there is none."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        return {}
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _load_torch(path: Path) -> dict[str, Tensor]:
    state = named_tensors(read_torch_file(path))
    if not state:
        raise ModelFileError(f"{path}: holds no named tensors; save the network's state_dict")
    return state
