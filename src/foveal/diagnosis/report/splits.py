"""The labels that a run was trained and measured on, read again where they still are."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.diagnosis.report.gather import Run, at
from foveal.errors import FovealError

LABELS = ("train", "val", "classes")
"""What of a data section decides which labels are read; they are read once, at whatever size pictures are seen."""


class Splits(NamedTuple):
    """Labels of one data section, and the runs that share it."""

    runs: tuple[int, ...]
    """Places of the runs."""
    config: Config | None
    train: Records | None
    val: Records | None
    problem: str = ""
    """Why there are none."""


def read_splits(runs: Sequence[Run]) -> list[Splits]:
    """One entry for each different data section, in the order of the runs."""
    groups: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(_key(run, *LABELS, "image_size"), []).append(place)
    read: dict[str, Splits] = {}
    found = []
    for places in groups.values():
        run = runs[places[0]]
        labels = _key(run, *LABELS)
        if labels not in read:
            read[labels] = _read(tuple(places), run)
        found.append(read[labels]._replace(runs=tuple(places), config=checked_config(run)))
    return found


def checked_config(run: Run) -> Config | None:
    """The run's configuration, where this Foveal can read it."""
    try:
        return Config.model_validate(run.config)
    except (ValidationError, TypeError, ValueError, RecursionError):
        return None


def _key(run: Run, *names: str) -> str:
    return json.dumps([at(run.config, "data", name) for name in names], default=str, sort_keys=True)


def _read(places: tuple[int, ...], run: Run) -> Splits:
    from foveal.build import build_records

    config = checked_config(run)
    if config is None or config.data is None:
        reason = "the configuration names no data" if config else "this Foveal cannot read the configuration"
        return Splits(places, config, None, None, reason)
    data = config.data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train = build_records(data.train, data.classes)
            val = None if data.val is None else build_records(data.val, list(train.classes.names))
    except (FovealError, OSError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return Splits(places, config, None, None, run.plain(lines[0]))
    return Splits(places, config, train, val)
