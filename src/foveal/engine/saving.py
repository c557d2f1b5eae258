"""The resume state of a run: two files, so that one whole state is always there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from foveal.errors import ModelFileError, UsageError
from foveal.files import write_atomically

BEST_WEIGHTS = "best.safetensors"
LAST_WEIGHTS = "last.safetensors"
LAST = "resume/last.ckpt"
PREVIOUS = "resume/previous.ckpt"


def save_resume_state(run_folder: Path, state: dict[str, Any]) -> None:
    """Write ``resume/last.ckpt``; the one before becomes ``resume/previous.ckpt``."""
    write_atomically(
        run_folder / LAST, lambda stream: torch.save(state, stream), keep_as=run_folder / PREVIOUS
    )


def load_resume_state(run_folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Newest resume state of a run that is whole; tensors on the CPU.

    A damaged ``last.ckpt`` is reported in one line and ``previous.ckpt`` taken instead.
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
            return _read_checked(file)
        except _DamagedError as fault:
            faults.append(f"{file}: damaged ({fault})")
            if file != files[-1]:
                report(f"{faults[-1]}; going on from {PREVIOUS} instead.")
    raise ModelFileError("; ".join(faults) + "; the run cannot be resumed.")


class _DamagedError(Exception):
    """A file that is not what was written."""


def _read_checked(file: Path) -> dict[str, Any]:
    """Load a file after comparing every record with its checksum."""
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise _DamagedError(f"checksum of {broken} does not fit")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except _DamagedError:
        raise
    except Exception as error:
        raise _DamagedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(state, dict) or "progress" not in state:
        raise _DamagedError("not a resume state")
    return state


def plain(value: Any) -> Any:
    """Named tuples as dicts, other sequences as lists: what ``weights_only=True`` can load."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value
