"""A configuration as YAML that reads well and loads back equal."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from foveal.config.schema import Config
from foveal.config.yaml_text import EXPONENT, FLOAT_TAG

LINE_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Mappings as blocks, lists of single values on one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _list(dumper: _Dumper, values: list[Any]) -> Node:
    flat = not any(isinstance(value, (list, dict)) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _number(dumper: _Dumper, value: float) -> Node:
    if value.is_integer() and abs(value) < 1e15:
        return dumper.represent_int(int(value))
    return dumper.represent_scalar(FLOAT_TAG, repr(value))


def _text(dumper: _Dumper, value: str) -> Node:
    # PyYAML writes these line breaks of Unicode as they are and folds them to a space when it reads them.
    style = '"' if any(mark in value for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_implicit_resolver(FLOAT_TAG, EXPONENT, list("-+0123456789"))
_Dumper.add_representer(list, _list)
_Dumper.add_representer(float, _number)
_Dumper.add_representer(str, _text)


def dump_config(config: Config, header: str = "", comments: dict[str, str] | None = None) -> str:
    """YAML of every setting, sections in the order of the flow.

    header: text put above as ``#`` comments. comments: dotted key -> text put above that key.
    """
    values = config.model_dump(mode="json")
    if config.data is None:
        del values["data"]
    return dump_values(values, header, comments)


def dump_values(values: dict[str, Any], header: str = "", comments: dict[str, str] | None = None) -> str:
    """The same for plain nested values, such as only those settings that differ from the defaults."""
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_WIDTH)
    lines = text.splitlines(keepends=True) if not comments else _commented(text, comments)
    top = [f"# {line}".rstrip() + "\n" for line in header.splitlines()]
    return "".join([*top, "\n", *lines] if top else lines)


def _commented(text: str, comments: dict[str, str]) -> list[str]:
    lines = text.split("\n")
    above: dict[int, list[str]] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pending: list[tuple[str, Node]] = [("", root)] if root else []
    while pending:
        prefix, node = pending.pop()
        if isinstance(node, SequenceNode) or not isinstance(node, MappingNode):
            continue
        for key_node, value_node in node.value:
            path = f"{prefix}.{key_node.value}" if prefix else key_node.value
            if path in comments:
                mark = key_node.start_mark
                above[mark.line] = [f"{' ' * mark.column}# {line}" for line in comments[path].splitlines()]
            pending.append((path, value_node))
    return ["\n".join([*above.get(number, ()), line]) + "\n" for number, line in enumerate(lines[:-1])]
