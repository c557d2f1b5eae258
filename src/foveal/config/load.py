"""A YAML file and overrides -> Config. Every fault of the file is told at once, one line each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from foveal.config import netspresso, overrides, presets
from foveal.config.document import Document, Key, Origin, dotted
from foveal.config.dump import dump_config
from foveal.config.explain import faults_of, lines, misplaced_booleans
from foveal.config.fields import field_schema, resolve
from foveal.config.netspresso import Note
from foveal.config.schema import Config, Data
from foveal.config.yaml_text import read_file
from foveal.errors import ConfigWarning, UsageError

__all__ = ["ConfigWarning", "Loaded", "Note", "data_of", "dump_config", "load_config", "read_config"]

ROOT: Key = ("data", "root")
SPLITS = ("train", "val", "test")
SOURCE_PATHS = ("annotations", "images", "split")
WEIGHTS: Key = ("model", "architecture", "backbone", "params", "weights")


class Loaded(NamedTuple):
    """A configuration and what was read differently from how it was written."""

    config: Config
    notes: tuple[Note, ...]


def load_config(path: Path, overrides: Sequence[str] = (), *, require_data: bool = True) -> Config:
    """Reads, checks and resolves a configuration file.

    overrides: ``key.sub=value``, the value as YAML. Relative paths in the file start at the file's folder (those
    of data.train and data.val at data.root, where that is set), those in an override at the working directory;
    ``~`` is the home folder; the result holds absolute paths.
    require_data: False accepts a file that only describes a model.
    UsageError: one line per fault, with file and line. ConfigWarning where the file contradicts itself.
    """
    loaded = read_config(path, overrides, require_data=require_data)
    for note in loaded.notes:
        if note.warning:
            warnings.warn(note.text, ConfigWarning, stacklevel=2)
    return loaded.config


def read_config(path: Path, changes: Sequence[str] = (), *, require_data: bool = True) -> Loaded:
    """``load_config`` that hands the notes over instead of warning."""
    path = Path(path)
    document = read_file(path)
    # Foreign spellings first, so that an override may use our names on such a file; then again for its own.
    notes, refused = netspresso.rewrite(document)
    notes += overrides.apply(document, changes)
    notes += presets.fill(document)
    more_notes, more_refused = netspresso.rewrite(document)
    _fill_kinds(document, ())
    notes += _resolve_paths(document)
    faults = misplaced_booleans(document)
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        faults += faults_of(error, document)
    if refused or more_refused or faults:
        raise UsageError("\n".join([*refused, *more_refused, *lines(faults, document)]))
    if require_data and config.data is None:
        raise UsageError(f"{path}: section 'data' is missing; foveal init DATA -o FILE writes one")
    return Loaded(config, (*notes, *more_notes))


def data_of(config: Config) -> Data:
    """The data section. UsageError where the configuration only describes a model."""
    if config.data is None:
        raise UsageError("the configuration has no section 'data'; add data.train, or pass the data")
    return config.data


def _fill_kinds(document: Document, key: Key) -> None:
    """Writes the default kind into a part such as ``losses.assigner`` that does not name its own."""
    for name, value in list(document.mapping(key).items()):
        inner = (*key, name)
        if not isinstance(value, dict):
            continue
        schema = field_schema(inner, document) or {}
        tag = resolve(schema).get("discriminator", {}).get("propertyName")
        default = schema.get("default")
        if tag and tag not in value and isinstance(default, dict) and tag in default:
            document.put((*inner, tag), default[tag], document.origin(inner))
        _fill_kinds(document, inner)


def _resolve_paths(document: Document) -> list[Note]:
    """Makes every path absolute; a note where an override of data.root had nothing to act on."""
    _resolve_path(document, ROOT)
    root = document.get(ROOT)
    moved = 0
    for split in SPLITS:
        for name in SOURCE_PATHS:
            key = ("data", split, name)
            start = Path(root) if isinstance(root, str) and not document.origin(key).override else None
            moved += _resolve_path(document, key, start) and start is not None
    weights = document.get(WEIGHTS)
    if isinstance(weights, str) and weights != "imagenet":
        _resolve_path(document, WEIGHTS)
    if moved or not isinstance(root, str) or not document.origin(ROOT).override:
        return []
    place = document.origin(ROOT).place
    return [Note(f"{place}: changes nothing: no path of data.train and data.val is relative", warning=True)]


def _resolve_path(document: Document, key: Key, start: Path | None = None) -> bool:
    """Makes one path absolute, from ``start`` or else from where it was written; whether it was relative."""
    value = document.get(key)
    if not isinstance(value, str):
        return False
    origin: Origin = document.origin(key)
    if not value.strip() or "\0" in value:
        raise UsageError(f"{origin.place}: {dotted(key)}: {value!r} is no path")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise UsageError(f"{origin.place}: {value!r}: no such home folder") from None
    document.put(key, str(((start or origin.folder) / path).absolute()), origin)
    return not path.is_absolute()
