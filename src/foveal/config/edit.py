"""Changing values in a YAML text: everything else, comments and order above all, stays as a person wrote it.

The text is not written anew from its values: the spans of the values that change are found from the marks of the
parsed nodes, and replaced. The result is parsed again; it holds the old values and the changes, or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from foveal.config.document import Key, Origin, dotted
from foveal.config.yaml_text import parse
from foveal.errors import UsageError

NestedKey = tuple[str, ...]


def edit_values(text: str, changes: Mapping[NestedKey, Any], place: str) -> str:
    """The text with other values at some keys; keys and sections that are missing are added.

    changes: keys of mappings (no list items) and plain values: numbers, text, lists, None. place: the file's name,
    for messages. Comments inside a list that is replaced stay on their lines where the list keeps its length, and
    else move above it. UsageError where the text cannot be changed in this way (a value shared through an alias).
    """
    if "\r\n" in text:
        return edit_values(text.replace("\r\n", "\n"), changes, place).replace("\n", "\r\n")
    old = parse(text, Origin(place, Path()))
    expected = deepcopy(old.value) if isinstance(old.value, dict) else {}
    found = None
    with suppress(yaml.YAMLError):  # of a text that a change has broken
        for key, value in changes.items():
            text = _edit(text, key, value, place)
            _put(expected, key, value)
        found = _value_of(text, place)
    if not _same(found, expected):
        keys = ", ".join(dotted(key) for key in changes)
        raise UsageError(
            f"{place}: cannot be changed as text at {keys} (aliases?); write these values by hand"
        )
    return text


def _value_of(text: str, place: str) -> Any:
    """None for what is no YAML."""
    try:
        return parse(text, Origin(place, Path())).value
    except UsageError:
        return None


def _same(one: Any, other: Any) -> bool:
    """Equal, and numbers of the same value; True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _put(values: dict[str, Any], key: NestedKey, value: Any) -> None:
    for step in key[:-1]:
        if not isinstance(values.get(step), dict):
            values[step] = {}
        values = values[step]
    values[key[-1]] = deepcopy(value)


def flow(value: Any) -> str:
    """A value on one line, as it stands behind a key."""
    text = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.strip()[1:-1]


# ---------------------------------------------------------------- one change


def _edit(text: str, key: NestedKey, value: Any, place: str) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return text.rstrip("\n") + ("\n" if text.strip() else "") + _block(key, value, 0, 2)
    node: Node = root
    for depth, step in enumerate(key):
        if not isinstance(node, MappingNode):
            return _replace(text, node, flow(_nested(key[depth:], value)))
        entry = next((pair for pair in node.value if pair[0].value == step), None)
        if entry is None:
            if depth and any(pair[0].value == "<<" for pair in node.value) and depth + 1 < len(key):
                raise UsageError(f"{place}: {dotted(key)}: may come from '<<'; write this part out")
            return _insert(text, node, key[depth:], value)
        name, found = entry
        if found.start_mark.index < name.end_mark.index:  # an alias: its node stands elsewhere
            if depth + 1 < len(key):
                where = f"{place}:{name.start_mark.line + 1}"
                raise UsageError(f"{where}: {dotted(key[: depth + 1])} is an alias; write it out")
            return _replace_alias(text, name.end_mark.index, flow(value))
        node = found
    return _replace_value(text, node, value)


def _nested(key: Key | NestedKey, value: Any) -> Any:
    for step in reversed(key):
        value = {step: value}
    return value


def _replace_alias(text: str, start: int, new: str) -> str:
    star = text.index("*", start)
    end = star
    while end < len(text) and not text[end].isspace() and text[end] not in ",]}":
        end += 1
    return text[:star] + new + text[end:]


def _replace(text: str, node: Node, new: str) -> str:
    start, end = node.start_mark.index, _end(node)
    space = " " if start == end and start and text[start - 1] == ":" else ""
    return text[:start] + space + new + text[end:]


def _end(node: Node) -> int:
    """Where a node's own text ends: a block's end mark lies behind the comments that follow it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(_end(part) for part in (last if isinstance(last, tuple) else (last,)))
    return int(node.end_mark.index)


# ---------------------------------------------------------------- a value that is there


def _replace_value(text: str, node: Node, value: Any) -> str:
    if not isinstance(node, SequenceNode) or not isinstance(value, list):
        return _replace(text, node, flow(value))
    if len(node.value) == len(value) and value and not _plain_line(text, node):
        for item, new in reversed(list(zip(node.value, value, strict=True))):
            text = _replace_value(text, item, new)  # from the last on, so that the marks before it still hold
        return text
    if not node.flow_style:
        return _replace_block(text, node, value)
    lost = _comments(text, node, _end(node))
    return _above(_replace(text, node, flow(value)), node.start_mark.index, lost)


def _plain_line(text: str, node: Node) -> bool:
    """Whether the node is a flow list on one line: it is then written anew."""
    return (
        isinstance(node, CollectionNode)
        and bool(node.flow_style)
        and "\n" not in text[node.start_mark.index : _end(node)]
    )


def _replace_block(text: str, node: SequenceNode, value: list[Any]) -> str:
    """Items one a line, where the first one stood, under the comments that stood beside the old ones."""
    end = text.find("\n", _end(node))
    end = len(text) if end < 0 else end
    lines = _comments(text, node, end) + ([f"- {flow(item)}" for item in value] or ["[]"])
    indent = "\n" + " " * node.start_mark.column
    return text[: node.start_mark.index] + indent.join(lines) + text[end:]


def _above(text: str, index: int, comments: list[str]) -> str:
    """Comment lines above the line that holds the index, indented like it."""
    start = text.rfind("\n", 0, index) + 1
    line = text[start:]
    indent = line[: len(line) - len(line.lstrip(" "))]
    return text[:start] + "".join(f"{indent}{comment}\n" for comment in comments) + line


def _comments(text: str, node: Node, end: int) -> list[str]:
    """Comments between the parts of a node, up to an index."""
    scalars: list[Node] = []
    pending = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, ScalarNode):
            scalars.append(one)
        elif isinstance(one, SequenceNode):
            pending += one.value
        elif isinstance(one, MappingNode):
            pending += [part for pair in one.value for part in pair]
    taken = [(one.start_mark.index, one.end_mark.index) for one in scalars]
    found, index = [], node.start_mark.index
    while (index := text.find("#", index, end)) >= 0:
        stop = text.find("\n", index)
        stop = len(text) if stop < 0 else stop
        if any(first <= index < last for first, last in taken) or text[index - 1] not in " \t\n":
            index += 1
            continue
        found.append(text[index:stop].rstrip())
        index = stop
    return found


# ---------------------------------------------------------------- a key that is missing


def _insert(text: str, node: MappingNode, key: NestedKey, value: Any) -> str:
    if node.flow_style:
        return _insert_flow(text, node, key, value)
    end = _end(node)
    line = text.find("\n", end)
    if end and text[end - 1] == "\n":  # a literal text: its mark lies behind its last line
        line = end - 1
    head, tail = (text, "") if line < 0 else (text[:line], text[line + 1 :])
    column = node.value[0][0].start_mark.column
    return f"{head}\n{_block(key, value, column, _step(node))}{tail}"


def _insert_flow(text: str, node: MappingNode, key: NestedKey, value: Any) -> str:
    entry = f"{key[0]}: {flow(_nested(key[1:], value))}"
    if not node.value:
        index = node.start_mark.index + 1
        return text[:index] + entry + text[index:]
    index = max(_end(part) for part in node.value[-1])
    return f"{text[:index]}, {entry}{text[index:]}"


def _step(node: MappingNode) -> int:
    """Spaces by which this file indents: of the first block inside the mapping, else 2."""
    for name, value in node.value:
        if isinstance(value, MappingNode) and not value.flow_style and value.value:
            inner = int(value.value[0][0].start_mark.column) - int(name.start_mark.column)
            return inner if inner > 0 else 2
    return 2


def _block(key: NestedKey, value: Any, column: int, step: int) -> str:
    """Lines of a key and the sections around it that are new."""
    lines = [f"{' ' * (column + step * depth)}{name}:" for depth, name in enumerate(key)]
    lines[-1] += f" {flow(value)}"
    return "\n".join(lines) + "\n"
