"""Pydantic's errors as lines for a person: place, key, what was given, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from foveal.config.document import Document, Key, dotted
from foveal.config.fields import (
    Schema,
    allowed,
    field_schema,
    join,
    nearest,
    resolve,
    root_schema,
    sections_with,
    variant,
)


def unknown_key(name: str, section: Key, known: list[str]) -> str:
    """``unknown key 'x' in a.b; did you mean 'y'?``"""
    where = dotted(section)
    text = f"unknown key {name!r}" + (f" in {where}" if where else " at the top level")
    near = nearest(name, known)
    if near:
        return f"{text}; did you mean {near!r}?"
    elsewhere = [place for place in sections_with().get(name, ()) if place != where]
    if len(elsewhere) in (1, 2):
        return f"{text}; it belongs in {join([place or 'the top level' for place in elsewhere])}"
    return f"{text}; allowed: {', '.join(known)}" if known else f"{text}; no keys are allowed there"


def given(value: Any) -> str:
    """The value as the file has it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _locate(location: tuple[str | int, ...]) -> Key:
    """Pydantic's location without the names of union members."""
    key: list[str | int] = []
    schema: Schema = root_schema()
    for step in location:
        schema = resolve(schema)
        if isinstance(step, str) and step in schema.get("discriminator", {}).get("mapping", {}):
            schema = variant(schema, step) or {}
        elif isinstance(step, int):
            places = schema.get("prefixItems")
            schema = places[step] if places and step < len(places) else schema.get("items", {})
            key.append(step)
        elif "anyOf" in schema:
            break  # what follows names a member of the union, such as list[float]
        else:
            schema = schema.get("properties", {}).get(step, {})
            key.append(step)
    return tuple(key)


MOST_FAULTS = 50
"""Told of one file; a person mends no more at once."""


class Fault(NamedTuple):
    """One thing wrong with one key."""

    key: Key
    message: str
    last: bool = False
    """Whether its line stands behind all others."""


def faults_of(error: ValidationError, document: Document) -> list[Fault]:
    """What pydantic found, in the words of the file."""
    faults = []
    details = error.errors(include_url=False)
    if len(details) > MOST_FAULTS:
        faults.append(Fault((), f"and {len(details) - MOST_FAULTS} more faults; mend these first", last=True))
    for detail in details[:MOST_FAULTS]:
        key = _locate(detail["loc"])
        if detail["type"] == "missing" and isinstance(key[-1], int):
            key = key[:-1]
        if detail["type"] == "rule":
            key = (*key, *detail["ctx"]["where"].split("."))
        faults.append(Fault(key, _message(dict(detail), key, document)))
    return faults


def misplaced_booleans(document: Document) -> list[Fault]:
    """Booleans where a number belongs: pydantic takes true for 1, and YAML makes true of yes and on."""
    faults = []
    for key in document.origins:
        schema = field_schema(key, document) if isinstance(document.get(key), bool) else None
        if schema is not None and _takes(schema, "number", "integer"):
            faults.append(Fault(key, _not_allowed(key, document, schema)))
    return faults


def _takes(schema: Schema, *types: str) -> bool:
    schema = resolve(schema)
    options = schema.get("anyOf", [schema])
    kinds = {resolve(option).get("type") for option in options}
    return not kinds.isdisjoint(types) and "boolean" not in kinds


def lines(faults: Sequence[Fault], document: Document) -> list[str]:
    """One line per key at fault, in the order of the file, those of overrides last."""
    first = {fault.key: fault for fault in reversed(faults)}
    texts = []
    for fault in first.values():
        origin = document.origin(fault.key)
        number = origin.place.rpartition(":")[2]
        order = (fault.last, origin.override, int(number) if number.isdigit() else 0)
        texts.append((order, f"{origin.place}: {fault.message}"))
    return [text for _, text in sorted(texts)]


def _message(detail: dict[str, Any], key: Key, document: Document) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = list(_properties(key[:-1], document))
        return unknown_key(str(key[-1]), key[:-1], known)
    schema = field_schema(key, document) or {}
    if kind == "missing" and key == _locate(detail["loc"]):
        where = f" in {dotted(key[:-1])}" if len(key) > 1 else ""
        return f"key {str(key[-1])!r} is missing{where}; needed: {allowed(schema)}"
    if kind == "rule":
        return f"{dotted(key)}: {detail['ctx']['message']}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = str(resolve(schema)["discriminator"]["propertyName"])
        if tag not in document.mapping(key):
            return f"key {tag!r} is missing in {dotted(key)}; needed: {allowed(schema)}"
        key = (*key, tag)
    return _not_allowed(key, document, schema)


def _not_allowed(key: Key, document: Document, schema: Schema) -> str:
    value = document.get(key)
    text = f"{dotted(key)}: {given(value)} is not allowed; allowed: {allowed(schema)}"
    if isinstance(value, bool) and _takes(schema, "string"):
        return f"{text}; put yes, no, on or off in quotes where text is meant"
    words = [str(word) for word in resolve(schema).get("enum", ())]
    words += list(resolve(schema).get("discriminator", {}).get("mapping", {}))
    near = nearest(value, words) if isinstance(value, str) else None
    return f"{text}; did you mean {near!r}?" if near else text


def _properties(section: Key, document: Document) -> Mapping[str, Any]:
    schema = resolve(field_schema(section, document) or {})
    if "discriminator" in schema:
        tag = document.mapping(section).get(schema["discriminator"]["propertyName"])
        schema = variant(schema, tag) or {}
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties
