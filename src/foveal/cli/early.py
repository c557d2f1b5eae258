"""What is refused before torch is loaded, which takes seconds: files that are not there, settings that cannot be.

The verbs check the same again: these are for the person who waits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

from foveal.errors import ConfigWarning, DataError, ModelFileError, UsageError
from foveal.exits import loading

CONFIG_SUFFIXES = (".yaml", ".yml")


def run(config: Path | None, start_from: Path | None, *arguments: Any) -> None:
    """What ``train`` is given: the arguments of ``run_settings``. For several processes the verb says it once."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        return
    with loading():
        from foveal.verbs.run_settings import run_settings
    with _unsaid():
        run_settings(config, *arguments)
    checkpoint(start_from)


def configuration(path: Path, overrides: Sequence[str] = (), require_data: bool = True) -> None:
    """A configuration with its overrides."""
    with loading():
        from foveal.config.load import load_config
    with _unsaid():
        load_config(path, overrides, require_data=require_data)


def data(source: Path) -> None:
    """A folder or file of labels."""
    if not source.expanduser().exists():
        raise DataError(f"{source}: no such folder or file")


def data_or_configuration(source: Path, overrides: Sequence[str] = ()) -> None:
    """What the doctor is given; a YAML file may be YOLO's list of parts, too."""
    data(source)
    if source.suffix.lower() in CONFIG_SUFFIXES and source.is_file():
        with source.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(1_000_000).splitlines()  # what is longer is refused by those that read it
        if any(line.startswith("data:") for line in lines):
            configuration(source, overrides)


def labelled(source: Path | None) -> None:
    """What ``--data`` is given."""
    if source is None:
        return
    if source.suffix.lower() in CONFIG_SUFFIXES and not source.exists():
        raise UsageError(f"{source}: no such file")
    data(source)


def checkpoint(path: Path | None) -> None:
    """A checkpoint; None: none is asked for."""
    if path is not None and path.is_dir():
        raise ModelFileError(f"{path}: a folder; name a file in it, such as best.safetensors")
    if path is not None and not path.exists():
        raise ModelFileError(
            f"{path}: no such file; a run's checkpoints are best.safetensors and last.safetensors"
        )


def run_folders(folders: Sequence[Path]) -> None:
    """What a report is made of."""
    with loading():
        from foveal.diagnosis.report.gather import check_run_folder
    for folder in folders:
        check_run_folder(folder)


def pictures(sources: Sequence[str]) -> None:
    """Files, folders and globs; addresses are looked at later."""
    for source in sources:
        path = Path(source).expanduser()
        if "://" in source or path.exists() or glob(str(path), recursive=True):
            continue
        if any(sign in source for sign in "*?["):
            raise DataError(f"{source}: no picture there")
        raise DataError(f"{source}: no such file or folder")


@contextmanager
def _unsaid() -> Iterator[None]:
    """The verb will say these warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        yield
