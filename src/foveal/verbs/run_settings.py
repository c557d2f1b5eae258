"""The configuration that a run begins or goes on with. No torch: what cannot be is refused before it loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foveal.config.dump import dump_config
from foveal.config.load import load_config
from foveal.config.schema import Config
from foveal.errors import UsageError

CONFIG_FILE = "config.yaml"
FINE_TUNED = "fine-tuned from "
"""How the first comment of a run's configuration begins whose weights were another's."""


class RunSettings(NamedTuple):
    """What a run is told."""

    name: str
    """Of the run folder, where a new one is made."""
    config: Config
    fine_tuned: bool
    """Whether it began with another run's weights; of a resumed one, as it was begun."""


def run_settings(
    config: Path | None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    resume: Path | None = None,
    start_from: Path | None = None,
    device: str | None = None,
    seed: int | None = None,
) -> RunSettings:
    """Read and check what ``train`` was given; the arguments are its own. UsageError where they cannot be."""
    changes = list(overrides)
    if device is not None:
        changes.append(f"training.device={device}")
    if resume is not None:
        if start_from is not None:
            raise UsageError("--resume goes on with the run's own weights: give no --from with it")
        if config is not None or name is not None or seed is not None:
            raise UsageError("--resume takes the run's own config: give no config, --name or --seed with it")
        file = resume / CONFIG_FILE
        if not file.is_file():
            raise UsageError(f"{resume}: not a run folder: it has no {CONFIG_FILE}")
        return RunSettings("", load_config(file, changes), _header(file).startswith(FINE_TUNED))
    if config is None:
        raise UsageError("which config? foveal train CONFIG.yaml (foveal init DATA -o FILE writes one)")
    if seed is not None:
        changes.append(f"training.seed={seed}")
    return RunSettings(name or config.stem, load_config(config, changes), start_from is not None)


def run_text(settings: Config, start_from: Path | None = None, before: Path | None = None) -> str:
    """``config.yaml`` of a run: every setting. before: the one that it replaces, whose first comment stays."""
    header = "" if before is None else _header(before)
    return dump_config(settings, header if start_from is None else f"{FINE_TUNED}{start_from}")


def _header(file: Path) -> str:
    """The comment that a file begins with, if any."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ") if first.startswith("# ") else ""
