"""The resume state of a run: two files, so that one whole state is always there; and how such files are sealed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from foveal.errors import ModelFileError, UsageError
from foveal.files import write_atomically

BEST_WEIGHTS = "best.safetensors"
LAST_WEIGHTS = "last.safetensors"
LAST = "resume/last.ckpt"
PREVIOUS = "resume/previous.ckpt"
DAMAGED = "resume/damaged.ckpt"
SEAL = b"\nfoveal sha256 "
"""Stands behind a PyTorch file, and then the digest of all before it, in hexadecimal: torch's reader passes over
both. Its own checksums leave out names, sizes and what lies between the tensors.
"""
SEAL_LENGTH = len(SEAL) + 64


def save_resume_state(run_folder: Path, state: dict[str, Any]) -> None:
    """Write ``resume/last.ckpt``; the one before becomes ``resume/previous.ckpt``."""
    save_sealed(run_folder / LAST, state, keep_as=run_folder / PREVIOUS)


def load_resume_state(run_folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Newest resume state of a run that is whole; tensors on the CPU.

    A damaged ``last.ckpt`` is reported in one line and ``previous.ckpt`` taken instead; the damaged one is called
    ``damaged.ckpt`` from then on, as the next save would put it in the place of the whole one.
    UsageError where the run has no resume state, ModelFileError where none of its files is whole.
    """
    files = [file for file in (run_folder / LAST, run_folder / PREVIOUS) if file.is_file()]
    if not files:
        raise UsageError(
            f"{run_folder}: nothing to resume, there is no {LAST}; start the run without --resume."
        )
    faults = []
    for file in files:
        try:
            state = load_sealed(file)
            if "progress" not in state:
                raise DamagedError("not a resume state")
        except DamagedError as fault:
            faults.append(f"{file}: damaged ({fault})")
            continue
        if faults:
            report(f"{faults[0]}; going on from {PREVIOUS} instead.")
            with suppress(OSError):
                os.replace(run_folder / LAST, run_folder / DAMAGED)
        return state
    raise ModelFileError("; ".join(faults) + "; the run cannot be resumed.")


class DamagedError(Exception):
    """A file that is not what was written."""


def save_sealed(file: Path, state: dict[str, Any], keep_as: Path | None = None) -> None:
    """Write a PyTorch file with its digest behind it. keep_as, errors: as ``write_atomically``."""

    def write(stream: IO[bytes]) -> None:
        hashed = _Hashed(stream)
        torch.save(state, hashed)  # type: ignore[arg-type]
        stream.write(SEAL + hashed.digest.hexdigest().encode())

    write_atomically(file, write, keep_as)


def load_sealed(file: Path) -> dict[str, Any]:
    """What ``save_sealed`` wrote; tensors on the CPU. Nothing in the file is believed before its digest fits.

    DamagedError, with the reason, where it cannot be read or is not as it was written.
    """
    try:
        with file.open("rb") as stream:
            _check_seal(stream)
            stream.seek(0)
            state = torch.load(stream, map_location="cpu", weights_only=True)
    except (DamagedError, MemoryError):
        raise
    except Exception as error:
        raise DamagedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(state, dict):
        raise DamagedError("not a state")
    return state


def _check_seal(stream: IO[bytes]) -> None:
    length = stream.seek(0, os.SEEK_END) - SEAL_LENGTH
    stream.seek(max(0, length))
    seal = stream.read()
    if length < 0 or not seal.startswith(SEAL):
        raise DamagedError("it ends without its SHA-256")
    stream.seek(0)
    digest = hashlib.sha256()
    while length:
        content = stream.read(min(length, 1 << 20))
        if not content:
            raise DamagedError("it became shorter while it was read")
        digest.update(content)
        length -= len(content)
    if digest.hexdigest().encode() != seal[len(SEAL) :]:
        raise DamagedError("its SHA-256 does not fit its content")


class _Hashed:
    """A stream that takes the digest of what goes through it; torch writes from the start to the end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._stream.write(content)

    def flush(self) -> None:
        self._stream.flush()


def plain(value: Any) -> Any:
    """Named tuples as dicts, other sequences as lists: what ``weights_only=True`` can load."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value
