"""What every file of a model says about it, as JSON: a checkpoint's metadata, an exported file's, too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foveal.errors import ModelFileError
from foveal.types import ClassNames
from foveal.version import __version__

HEADER = "foveal"
"""Key of the header among a file's metadata."""
FORMAT_VERSION = 1
"""Grows when an older Foveal could misread a newer file."""


@dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says about its weights. Numbers that are not finite are stored as null."""

    config: dict[str, Any]
    """The resolved configuration, as plain values."""
    classes: ClassNames
    size_policy: dict[str, Any]
    """How a picture becomes the network's input: height, width, pad value, antialias, ..."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Score threshold by class name; empty where none was fitted."""
    version: str = __version__
    """The Foveal that wrote it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Epoch, step, metrics: for people."""


def header_text(header: CheckpointHeader) -> str:
    """The header as strict JSON."""
    classes = {"names": list(header.classes.names), "ids": list(header.classes.ids)}
    return json.dumps({"format_version": FORMAT_VERSION, **_plain(asdict(header) | {"classes": classes})})


def parse_header(path: Path, text: str) -> CheckpointHeader:
    """The header of a file, every field checked: it is taken on trust nowhere else. Else ``damaged``."""
    try:
        values = json.loads(text)
        version, number = str(values["version"]), int(values["format_version"])
        if number > FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: written by Foveal {version} in a newer format ({number}; this is {__version__}, "
                f"which reads up to {FORMAT_VERSION}); upgrade foveal"
            )
        names, ids = values["classes"]["names"], values["classes"]["ids"]
        if (
            len(names) != len(ids)
            or len(set(names)) != len(names)
            or not all(isinstance(n, str) for n in names)
        ):
            raise ValueError("class names and ids do not fit")
        thresholds = {str(name): float(value) for name, value in values["thresholds"].items()}
        if not all(map(math.isfinite, thresholds.values())):
            raise ValueError("a threshold is not finite")
        return CheckpointHeader(
            config=dict(values["config"]),
            classes=ClassNames(tuple(names), tuple(int(i) for i in ids)),
            size_policy=dict(values["size_policy"]),
            thresholds=thresholds,
            version=version,
            facts=dict(values["facts"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(path, f"its Foveal header cannot be read, {type(error).__name__}: {error}") from error


def damaged(path: Path, reason: str) -> ModelFileError:
    """The error for a file of ours that was altered or cut off."""
    return ModelFileError(f"{path}: damaged, {reason}; copy it again or use the run's other checkpoint")


def _plain(value: Any) -> Any:
    """The value in JSON's types; what is not finite becomes null, as strict JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
