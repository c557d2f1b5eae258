"""A run's configuration: what differs from the defaults, and from run to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node

from foveal.config.dump import dump_values
from foveal.config.schema import Config
from foveal.config.section import Section
from foveal.diagnosis.report.blocks import CodeLine
from foveal.diagnosis.report.gather import Run
from foveal.diagnosis.report.plain import short_path

Settings = dict[str, str]
"""Dotted key -> value as text."""


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything that is no mapping; an empty mapping counts as a value."""
    for key, value in values.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, dict) and value:
            yield from flat(value, path)
        else:
            yield path, value


def in_words(value: Any) -> str:
    """A value as YAML would have it on one line, without the folders of the machine."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {in_words(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(in_words(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.6g}" if isinstance(value, float) else short_path(str(value))


def differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(key, value in each run) of every setting that is not the same in all; "" where a run has no such key."""
    tables = [dict(flat(_complete(run.config))) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = []
    for key in keys:
        values = [table.get(key, _ABSENT) for table in tables]
        if all(_same(value, values[0]) for value in values):
            continue
        words = ["" if value is _ABSENT else in_words(value) for value in values]
        if len(set(words)) == 1:  # other folders of the same name
            words = [f"{word} ({place})" for place, word in enumerate(words, start=1)]
        found.append((key, words))
    return found


def changed_keys(config: Mapping[str, Any]) -> set[str] | None:
    """Dotted keys whose value is not the default, or that have none; None where this Foveal cannot read it."""
    try:
        settings = Config.model_validate(config)
    except (ValidationError, TypeError, ValueError, RecursionError):
        return None
    return set(_changed(settings, ""))


def listing(run: Run) -> list[CodeLine]:
    """The whole configuration as YAML, the lines that differ from the defaults marked."""
    text = dump_values(_shortened(run.config))
    lines = text.splitlines()
    changed = changed_keys(run.config) or set()
    marked: set[int] = set()
    for key, start, end in _places(text):
        if key in changed:
            marked.update(range(start, end))
    return [CodeLine(line, number in marked) for number, line in enumerate(lines)]


_ABSENT = object()


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of settings that did not exist when the run was made; as it is where it cannot be read."""
    try:
        return Config.model_validate(config).model_dump(mode="json")
    except (ValidationError, TypeError, ValueError, RecursionError):
        return config


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return (numbers or type(one) is type(other)) and bool(one == other)


def _changed(section: Section, prefix: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        value = getattr(section, name)
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(value, Section):
            if not isinstance(default, type(value)) and not field.is_required() and default is not None:
                yield f"{path}.name"
            yield from _changed(value, path)
        elif field.is_required():
            if name not in ("format", "name"):
                yield path
        elif value != default:
            yield path


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return short_path(value) if isinstance(value, str) else value


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    """Dotted key, first and last line + 1 of each value of a YAML text."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pending: list[tuple[str, Node]] = [("", root)] if root else []
    while pending:
        prefix, node = pending.pop()
        if not isinstance(node, MappingNode):
            continue
        for key, value in node.value:
            path = f"{prefix}.{key.value}" if prefix else str(key.value)
            end = value.end_mark.line + (value.end_mark.column > 0)
            yield path, key.start_mark.line, max(end, key.start_mark.line + 1)
            pending.append((path, value))
