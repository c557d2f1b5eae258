"""``key.sub=value`` from the command line, written over the file's values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveal.config.document import Document, Key, Origin, dotted
from foveal.config.fields import field_schema, resolve, variant
from foveal.config.netspresso import Note
from foveal.config.yaml_text import parse
from foveal.errors import UsageError


def apply(document: Document, overrides: Sequence[str]) -> list[Note]:
    """Writes every override into the document; values are read as YAML, list items are named by index.

    An override that changes the kind of a part (``model.losses.assigner.name=atss``) drops the file's
    settings that the new kind does not know; each is noted. UsageError names the override.
    """
    changed: list[Key] = []
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"override {text!r}: write it as key.sub=value, for example training.epochs=20")
        origin = Origin(f"override {text}", Path.cwd(), override=True)
        steps = [step.strip() for step in name.strip().split(".")]
        if not all(steps):
            raise UsageError(f"override {text}: an empty name between the dots of {name!r}")
        _write(document, steps, parse(value, origin, with_lines=False), origin)
        changed.append(tuple(_numbered(document, steps)))
    return [note for key in changed for note in _drop_other_kind(document, key)]


def _numbered(document: Document, steps: Sequence[str]) -> list[str | int]:
    """Names, with indices where the document has a list."""
    key: list[str | int] = []
    for step in steps:
        key.append(int(step) if isinstance(document.get(tuple(key)), list) and step.isdecimal() else step)
    return key


def _write(document: Document, steps: list[str], value: Document, origin: Origin) -> None:
    key: Key = ()
    for depth, step in enumerate(steps):
        here = document.get(key)
        if here is None and key:
            here = _start(document, key, step, origin)
        if isinstance(here, list):
            if (
                not step.isdecimal()
                or int(step) > len(here)
                or (int(step) == len(here) and depth + 1 < len(steps))
            ):
                raise UsageError(
                    f"{origin.place}: {dotted(key)} is a list of {len(here)}; name an item by its index, "
                    f"0 to {max(len(here) - 1, 0)}, or {len(here)} to add one"
                )
            key = (*key, int(step))
        elif isinstance(here, dict):
            key = (*key, step)
        else:
            raise UsageError(
                f"{origin.place}: {dotted(key)} is a single value ({here!r}); it has no {step!r}"
            )
    document.put(key, value.value, origin)
    document.origins.update({(*key, *inner): origin for inner in value.origins})


def _start(document: Document, key: Key, step: str, origin: Origin) -> Any:
    """A place the file does not have: the default list where an index follows, else an empty mapping."""
    value: Any = {}
    if step.isdecimal():
        default = (field_schema(key, document) or {}).get("default")
        value = copy.deepcopy(default) if isinstance(default, list) else []
    document.put(key, value, origin)
    return value


def _drop_other_kind(document: Document, key: Key) -> list[Note]:
    section = key[:-1]
    schema = resolve(field_schema(section, document) or {})
    if schema.get("discriminator", {}).get("propertyName") != key[-1]:
        return []
    kind = document.get(key)
    chosen = variant(schema, kind)
    if chosen is None:
        return []
    kinds = [variant(schema, tag) or {} for tag in schema["discriminator"]["mapping"]]
    others = {name for kind_schema in kinds for name in kind_schema["properties"]} - set(chosen["properties"])
    notes = []
    for name in others & set(document.mapping(section)):
        inner = (*section, name)
        if document.origin(inner).override:
            continue
        place = document.origin(inner).place
        document.remove(inner)
        notes.append(
            Note(
                f"{place}: {dotted(inner)} is dropped: {kind} ({document.origin(key).place}) has no such key"
            )
        )
    return notes
