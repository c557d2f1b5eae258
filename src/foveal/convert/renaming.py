"""Foreign names -> ours, and whose file it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from foveal.convert.layouts import LAYOUTS
from foveal.convert.layouts.layout import COUNTER, Layout, Rules
from foveal.convert.reading import Source
from foveal.convert.report import Entry
from foveal.errors import ModelFileError, UsageError

CLASSIFIER = re.compile(
    r"(?:.*\.)?(?:fc|classifier|head|last_linear|heads?\.head)(?:\.\d+)?\.(?:weight|bias)"
)


class Renamed(NamedTuple):
    """Every tensor of a file under our name, or left out with a reason."""

    tensors: dict[str, Tensor]
    entries: dict[str, Entry]
    """By our name; what was left out by its own."""


def recognise(source: Source, wanted: str | None = None) -> Layout:
    """The program that wrote the file, by the names of its tensors. wanted: one that the user names."""
    if wanted is not None:
        if wanted not in LAYOUTS:
            raise UsageError(f"--from {wanted}: not known; known are {', '.join(sorted(LAYOUTS))}")
        return LAYOUTS[wanted]
    found = next((layout for layout in LAYOUTS.values() if layout.fits(source.tensors)), None)
    if found is None:
        raise ModelFileError(f"{source.path}: {_stranger(source.tensors)}")
    return found


def _stranger(tensors: Mapping[str, Tensor]) -> str:
    names = list(tensors)
    first = f"{len(names)} tensors, the first is {names[0]}"
    known = ", ".join(sorted(LAYOUTS))
    if any(CLASSIFIER.fullmatch(name) and tensors[name].ndim <= 2 for name in names):
        return (
            f"an image classifier or another network without a detection head ({first}); to train a detector "
            "on it, name it in backbone.params.weights"
        )
    return f"no RetinaNet of a kind that is known ({first}); known are {known}; --from NAME insists on one"


def rename(source: Source, layout: Layout) -> Renamed:
    """ModelFileError for the first tensor that has no place."""
    rules = layout.rules(source.tensors)
    ignored = (*COUNTER, *layout.ignored)
    if layout.cell_anchors:
        ignored = (*ignored, (layout.cell_anchors, "anchors of a cell: compared with those of the settings"))
    tensors: dict[str, Tensor] = {}
    entries: dict[str, Entry] = {}
    for name, tensor in source.tensors.items():
        shape = tuple(tensor.shape)
        reason = next((why for pattern, why in ignored if re.fullmatch(pattern, name)), None)
        if reason is not None:
            entries[name] = Entry(name, shape, "ignored", "", reason)
            continue
        target = our_name(name, rules)
        if target is None:
            raise ModelFileError(
                f"{source.path}: {name} {list(shape)} has no place in {layout.title}: another architecture, "
                "or another program's file (--from NAME says whose it is)"
            )
        if target in tensors:
            raise ModelFileError(
                f"{source.path}: {name} and {entries[target].name} would both become {target}"
            )
        value, note = layout.transform(name, target, tensor)
        tensors[target] = value
        entries[target] = Entry(name, shape, "transformed" if note else "used", target, note)
    return Renamed(tensors, entries)


def our_name(name: str, rules: Rules) -> str | None:
    """What a source name becomes; None where no rule fits it."""
    for pattern, ours in rules:
        match = re.fullmatch(pattern, name)
        if match is not None:
            return match.expand(ours) if isinstance(ours, str) else ours(match)
    return None


def first_of(names: Iterable[str]) -> str:
    """The first name, and how many more there are."""
    listed = list(names)
    return listed[0] + (f" and {len(listed) - 1} more" if len(listed) > 1 else "")
