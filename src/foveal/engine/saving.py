"""Files that survive a full disk, a crash and a kill: the resume state of a run."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from foveal.errors import DiskError, ModelFileError, UsageError

BEST_WEIGHTS = "best.safetensors"
LAST_WEIGHTS = "last.safetensors"
LAST = "resume/last.ckpt"
PREVIOUS = "resume/previous.ckpt"


def write_atomically(file: Path, write: Callable[[IO[bytes]], None], keep_as: Path | None = None) -> None:
    """Write a file whole or not at all: a temporary neighbour, fsync, rename.

    keep_as: where the file that was there before goes (by a rename too), instead of being replaced.
    DiskError where it cannot be written; what was there before is then intact and no stray file is left.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if keep_as is not None and file.exists():
            os.replace(file, keep_as)
        os.replace(temporary, file)
        _sync_folder(file.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        # torch's zip writer reports a full disk as a RuntimeError of its own, with the OSError as context.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError) and isinstance(error, OSError | RuntimeError):
            reason = cause.strerror or str(cause)
            raise DiskError(
                f"{file}: cannot be written ({reason}); what was saved before is intact. "
                "Free some space or choose another run folder, then resume the run."
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Make the renames last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
