"""What may stand at a key of the file, by the schema: its type in words, its variants, the names like it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

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
        text = join(list(schema["discriminator"]["mapping"]))
    elif "enum" in schema:
        text = join(schema["enum"])
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
        text = f"a mapping with the keys {join(keys, 'and')}" if keys else "a mapping"
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


def join(words: list[Any], last: str = "or") -> str:
    """``a, b or c``."""
    texts = ["null" if word is None else str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


@cache
def sections_with() -> dict[str, list[str]]:
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


def nearest(name: str, known: list[str]) -> str | None:
    """The known word most like ``name``, where one is like it."""
    plain = {word.lower().replace("-", "_"): word for word in known}
    match = get_close_matches(name.lower().replace("-", "_"), list(plain), n=1, cutoff=0.6)
    return plain[match[0]] if match else None
