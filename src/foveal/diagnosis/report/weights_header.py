"""What a checkpoint says of itself, read from its header alone: no tensor is loaded."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from foveal.diagnosis.report.plain import clean

LIMIT = 16 << 20


class WeightsHeader(NamedTuple):
    """Size and own words of a ``.safetensors`` file."""

    bytes: int
    parameters: dict[str, int]
    """Numbers held, by the first part of their names: backbone, neck, head."""
    about: dict[str, Any]
    """The checkpoint's JSON header: version, classes, thresholds, facts; empty where it has none."""


def read_weights_header(file: Path) -> WeightsHeader | None:
    """Header of a checkpoint; None where there is none or it cannot be read."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            entries = json.loads(stream.read(length)) if 0 < length <= LIMIT else None
        if not isinstance(entries, dict):
            return None
        metadata = entries.pop("__metadata__", {})
        about = json.loads(metadata.get("foveal", "{}"))
        parameters: dict[str, int] = {}
        for name, entry in entries.items():
            part = str(clean(name)).split(".")[0]
            parameters[part] = parameters.get(part, 0) + prod(int(side) for side in entry["shape"])
        size = file.stat().st_size
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return WeightsHeader(size, parameters, clean(about) if isinstance(about, dict) else {})
