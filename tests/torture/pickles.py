"""Five checkpoints that run code in whoever opens them carelessly."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class _Call:
    """Calls something when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def os_system(marker: Path) -> bytes:
    """The classic: a shell command."""
    return pickle.dumps(_Call(os.system, f"touch '{marker}'"), protocol=2)


def builtins_eval(marker: Path) -> bytes:
    """No module but builtins, in which a list of forbidden modules sees nothing."""
    return pickle.dumps({"state_dict": _Call(eval, f"open({str(marker)!r}, 'w').close()")}, protocol=4)


def legacy_tar(marker: Path) -> bytes:
    """PyTorch before 0.1.9: a tar with a pickle in each of its parts."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        nothing = pickle.dumps(0, protocol=2)
        storages = nothing + pickle.dumps([], protocol=2)
        parts = {"sys_info": nothing, "storages": storages, "tensors": nothing, "pickle": os_system(marker)}
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def zip_checkpoint(marker: Path) -> bytes:
    """Today's form, as a training program would write it: weights, and something beside them."""
    stream = io.BytesIO()
    bomb = _Call(os.system, f"touch '{marker}'")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(4)}, "optimizer": bomb}, stream)
    return stream.getvalue()


def nested(marker: Path) -> bytes:
    """A pickle in a pickle: the outer one names a function of torch's own, which opens the inner one."""
    inner = _Call(torch.storage._load_from_bytes, os_system(marker))
    stream = io.BytesIO()
    content = pickle.dumps(OrderedDict(weight=inner), protocol=2)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return stream.getvalue()


MALICIOUS = (os_system, builtins_eval, legacy_tar, zip_checkpoint, nested)


def careless(file: Path) -> None:
    """What a program does that does not think of it."""
    try:
        torch.load(file, map_location="cpu", weights_only=False)
    except Exception:  # after the code has run
        return
