"""Which run a command belongs to that torchrun starts anew after a crash: it must not begin another."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from foveal.engine.saving import LAST, PREVIOUS
from foveal.files import create, free_name, numbered, write_text
from foveal.verbs.run_folder import LAUNCH_FILE, is_run_folder
from foveal.verbs.run_settings import CONFIG_FILE

NO_ID = "none"
"""What torchrun calls a job that was given no --rdzv-id."""


class Launch(NamedTuple):
    """One torchrun at work; its commands are started again with the same words."""

    job: str
    """--rdzv-id."""
    agent: str
    """The process that started this one, told from a later one of the same number."""


class Place(NamedTuple):
    """Where a run is to be."""

    folder: Path
    resume: Path | None
    """The same, where there is a state to go on from."""
    restarted: bool
    """Whether this launch began it before."""


def choose_place(wanted: Path, resume: Path | None) -> Place:
    """The run folder: the one to resume, the one that this torchrun has begun before, or a new one by that name.

    To be asked in one process of a run only.
    """
    if resume is not None:
        return Place(resume, resume, False)
    launch = this_launch()
    begun = None if launch is None else _begun_by(launch, list(takewhile(is_run_folder, numbered(wanted))))
    if begun is None:
        return Place(free_name(wanted, is_run_folder), None, False)
    has_state = (begun / LAST).is_file() or (begun / PREVIOUS).is_file()
    return Place(begun, begun if has_state else None, True)


def begin(place: Place, wanted: Path) -> Path:
    """Make and mark the folder of a run that begins: as chosen, or the next one, if another run was quicker."""
    folder = place.folder if place.restarted else _claim(wanted)
    mark(folder)
    return folder


def _claim(wanted: Path) -> Path:
    """A new run folder by that name, which no other command can claim too: several may be started at once."""
    while not create((folder := free_name(wanted, is_run_folder)) / CONFIG_FILE):
        pass
    return folder


def mark(folder: Path) -> None:
    """Say in a new run's folder which torchrun began it."""
    if launch := this_launch():
        write_text(folder / LAUNCH_FILE, json.dumps(launch._asdict()) + "\n")


def this_launch() -> Launch | None:
    """The torchrun that started this process; None where none did."""
    job = os.environ.get("TORCHELASTIC_RUN_ID")
    if job is None:
        return None
    parent = os.getppid()
    began = ""
    with suppress(OSError, IndexError):
        # The 22nd field; the second is a name in brackets, which may hold anything.
        began = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    return Launch(job, f"{parent}:{began}")


def _begun_by(launch: Launch, folders: list[Path]) -> Path | None:
    """The run that this torchrun began; after a restart also what the same job began on another machine."""
    marks = {folder: _mark_of(folder) for folder in reversed(folders)}
    for folder, marked in marks.items():
        if marked == launch:
            return folder
    if launch.job == NO_ID or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None
    return next((folder for folder, marked in marks.items() if marked and marked.job == launch.job), None)


def _mark_of(folder: Path) -> Launch | None:
    try:
        return Launch(**json.loads((folder / LAUNCH_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
