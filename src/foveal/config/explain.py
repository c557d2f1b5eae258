"""Pydantic's errors as lines for a person: place, key, what was given, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from foveal.config.document import Document, Key
from foveal.config.schema import Config

Schema = Mapping[str, Any]


@cache
def root_schema() -> Schema:
    """JSON Schema of the whole file."""
    return Config.model_json_schema()


def resolve(schema: Schema) -> Schema:
    """Follows references; of ``X or null`` gives X."""
    while True:
        if "$ref" in schema:
            schema = root_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            continue
        options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
        if len(options) != 1:
            return schema
        schema = options[0]


def variant(schema: Schema, tag: Any) -> Schema | None:
    """The member of a union such as ``losses.assigner`` that ``tag`` names."""
    mapping = schema.get("discriminator", {}).get("mapping", {})
    return resolve({"$ref": mapping[tag]}) if isinstance(tag, str) and tag in mapping else None


def field_schema(key: Key, document: Document) -> Schema | None:
    """What the file may hold at ``key``, given the variants the document names; None: nothing."""
    schema: Schema | None = root_schema()
    for depth, step in enumerate(key):
        if schema is None:
            return None
        schema = resolve(schema)
        if "discriminator" in schema:
            tag = document.mapping(key[:depth]).get(schema["discriminator"]["propertyName"])
            schema = variant(schema, tag) or {}
        if isinstance(step, int):
            places = schema.get("prefixItems")
            schema = places[step] if places and step < len(places) else schema.get("items")
        else:
            schema = schema.get("properties", {}).get(step)
    return schema


def allowed(schema: Schema) -> str:
    """In words: ``a number in 0..1``, ``iou or atss``, ``a list of text``."""
    nullable = any(option.get("type") == "null" for option in schema.get("anyOf", ()))
    schema = resolve(schema)
    if "anyOf" in schema:
        text = " or ".join(allowed(option) for option in schema["anyOf"] if option.get("type") != "null")
    elif "discriminator" in schema:
        text = _join(list(schema["discriminator"]["mapping"]))
    elif "enum" in schema:
        text = _join(schema["enum"])
    elif "const" in schema:
        text = str(schema["const"])
    elif "prefixItems" in schema:
        items = schema["prefixItems"]
        text = f"a list of {len(items)}: {', '.join(allowed(item) for item in items)}"
    elif schema.get("type") == "array":
        least = "of at least one: " if schema.get("minItems") else "of "
        text = f"a list {least}{allowed(schema.get('items', {}))}"
    elif schema.get("type") == "object":
        keys = list(schema.get("properties", {}))
        text = f"a mapping with the keys {_join(keys, 'and')}" if keys else "a mapping"
    else:
        text = _plain(schema)
    return f"{text}, or null" if nullable else text


def _plain(schema: Schema) -> str:
    name = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
    text = name.get(schema.get("type", ""), "another value")
    if "minimum" in schema and "maximum" in schema:
        return f"{text} in {schema['minimum']:g}..{schema['maximum']:g}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return f"{text} {' and '.join(limits)}" if limits else text


def _join(words: list[Any], last: str = "or") -> str:
    texts = ["null" if word is None else str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


@cache
def _places() -> dict[str, list[str]]:
    """Key -> the sections that know it, for keys that stand in the wrong one."""
    found: dict[str, list[str]] = {}
    pending: list[tuple[str, Schema]] = [("", root_schema())]
    while pending:
        path, schema = pending.pop()
        schema = resolve(schema)
        pending.extend((path, member) for member in schema.get("oneOf", ()))
        for name, inner in schema.get("properties", {}).items():
            if name not in ("name", "params", "format", "weight") and path not in found.get(name, ()):
                found.setdefault(name, []).append(path)
            pending.append((f"{path}.{name}" if path else name, inner))
    return found


def unknown_key(name: str, section: Key, known: list[str]) -> str:
    """``unknown key 'x' in a.b; did you mean 'y'?``"""
    where = dotted(section)
    text = f"unknown key {name!r}" + (f" in {where}" if where else " at the top level")
    near = nearest(name, known)
    if near:
        return f"{text}; did you mean {near!r}?"
    elsewhere = [place for place in _places().get(name, ()) if place != where]
    if len(elsewhere) in (1, 2):
        return f"{text}; it belongs in {_join([place or 'the top level' for place in elsewhere])}"
    return f"{text}; allowed: {', '.join(known)}" if known else f"{text}; no keys are allowed there"


def nearest(name: str, known: list[str]) -> str | None:
    """The known word most like ``name``, where one is like it."""
    plain = {word.lower().replace("-", "_"): word for word in known}
    match = get_close_matches(name.lower().replace("-", "_"), list(plain), n=1, cutoff=0.6)
    return plain[match[0]] if match else None


def dotted(key: Key) -> str:
    """``model.losses.assigner``; list items as ``.0``, the way an override writes them."""
    return ".".join(str(step) for step in key)


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


class Fault(NamedTuple):
    """One thing wrong with one key."""

    key: Key
    message: str


def faults_of(error: ValidationError, document: Document) -> list[Fault]:
    """What pydantic found, in the words of the file."""
    faults = []
    for detail in error.errors(include_url=False):
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
        order = (origin.override, int(number) if number.isdigit() else 0)
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
