"""A folder, a label file or a configuration -> its parts, read with everything that a diagnosis needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveal.build import build_records
from foveal.config.load import load_config
from foveal.config.schema import Config, Source
from foveal.data.account import Meaning, full_account
from foveal.data.layout import find_layout
from foveal.data.outcome import NothingToLearnError
from foveal.data.records import Records
from foveal.diagnosis.doctor.part import Part
from foveal.errors import DataError, UsageError
from foveal.types import ClassNames

CONFIG_SUFFIXES = frozenset({".yaml", ".yml"})
OF_CONFIGURATIONS = ("data:", "model:", "training:")
"""What lines of a configuration begin with ..."""
OF_YOLO = ("path:", "names:", "nc:", "train:", "val:", "valid:", "test:")
"""... and of a list of YOLO's parts and classes."""


class Case(NamedTuple):
    """What is to be examined."""

    parts: list[Part]
    config: Config | None
    """None where data was given, not a configuration."""
    classes: list[str] | None
    """The classes that are wanted, where a configuration says so."""
    notes: tuple[str, ...]
    """What a person should know of how the parts were found."""


def read_case(source: Path, overrides: Sequence[str] = ()) -> Case:
    """Read every part. overrides: ``key.sub=value``, of a configuration.

    DataError where no labels are found, or those of no part can be read; UsageError for overrides of plain data.
    """
    notes: tuple[str, ...] = ()
    config = _config(source, overrides)
    if overrides and config is None:
        raise UsageError(f"{overrides[0]}: settings go with a configuration, and {source} is data")
    if config is not None and config.data is not None:
        sources: dict[str, Source] = {"train": config.data.train}
        measured = {"val": config.data.val, "test": config.data.test}
        sources |= {name: source for name, source in measured.items() if source is not None}
        classes = config.data.classes
    else:
        layout = find_layout(source)
        config, classes, notes = None, None, layout.notes
        sources = {str(name): part for name, part in layout.parts.items()}
    return Case(read_parts(sources, classes), config, classes, notes)


def read_parts(sources: Mapping[str, Source], classes: list[str] | None = None) -> list[Part]:
    """Parts in the order train, val, test. A list of train and val together is left out beside train.

    A part whose labels cannot be read is there without pictures; DataError where that is so of all.
    """
    order = ("train", "all", "trainval", "val", "test")
    names = sorted(sources, key=lambda name: order.index(name) if name in order else len(order))
    if "trainval" in names:
        repeated = "trainval" if "train" in names else "val"
        names = [name for name in names if name != repeated]
    parts, errors = [], []
    for name in names:
        try:
            parts.append(read_part(name, sources[name], classes))
        except DataError as error:
            errors.append(error)
            parts.append(Part(name, _nothing(sources[name]), sources[name], str(error)))
    if len(errors) == len(parts):
        raise errors[0]
    return parts


def read_part(name: str, source: Source, classes: list[str] | None, meaning: Meaning | None = None) -> Part:
    """One part; one without a usable box is no error here. DataError where its labels cannot be read at all."""
    try:
        with full_account(meaning):
            return Part(name, build_records(source, classes), source)
    except NothingToLearnError as error:
        return Part(name, error.records, source, str(error))


def _nothing(source: Source) -> Records:
    """The records of labels that cannot be read."""
    none, rows = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    return Records(
        root=Path(getattr(source, "annotations", ".")).parent,
        files=np.empty(0, dtype=np.str_),
        image_ids=none,
        heights=none,
        widths=none,
        offsets=np.zeros(1, dtype=np.int64),
        boxes=rows.reshape(0, 4),
        labels=none,
        crowd=rows.astype(bool),
        area=rows,
        classes=ClassNames((), ()),
    )


def _config(source: Path, overrides: Sequence[str]) -> Config | None:
    """The configuration in a YAML file, unless the file is a list of YOLO's parts and classes."""
    if not _is_yaml(source) or (_has_line(source, *OF_YOLO) and not _has_line(source, *OF_CONFIGURATIONS)):
        return None
    return load_config(source, overrides)


def is_configuration(source: Path) -> bool:
    """Whether a file is YAML with a data section, as a configuration has and YOLO's list of parts has not."""
    return _is_yaml(source) and _has_line(source, "data:")


def _is_yaml(source: Path) -> bool:
    return source.suffix.lower() in CONFIG_SUFFIXES and source.is_file()


def _has_line(source: Path, *starts: str) -> bool:
    return any(
        line.startswith(starts) for line in source.read_text(encoding="utf-8", errors="replace").splitlines()
    )
