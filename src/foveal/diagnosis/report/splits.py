"""The labels that a run was trained and measured on, read again where they still are."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.diagnosis.report.gather import Run
from foveal.errors import FovealError


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
        section = run.config.get("data")
        key = "" if not isinstance(section, dict) else _key(section)
        groups.setdefault(key, []).append(place)
    return [_read(tuple(places), runs[places[0]]) for places in groups.values()]


def checked_config(run: Run) -> Config | None:
    """The run's configuration, where this Foveal can read it."""
    try:
        return Config.model_validate(run.config)
    except (ValidationError, TypeError, ValueError, RecursionError):
        return None


def _key(section: dict[str, object]) -> str:
    names = ("train", "val", "classes", "image_size")
    return json.dumps([section.get(name) for name in names], default=str, sort_keys=True)


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
