"""YAML, capped in size, depth and aliases, as a ``Document``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from foveal.config.document import Document, Key, Origin
from foveal.errors import UsageError

MAX_BYTES = 400_000
"""Of a file. The text that takes longest is read at a million letters a second."""
MAX_NODES = 12_000
MOST_NAMES = 15_000
"""Of classes in a data.yaml; the largest set of all, V3Det, has 13,204."""
MAX_ALIASES = 100
MAX_DEPTH = 32
MAX_NUMBER = 100
"""Letters of a number. One to the base of sixty, as YAML 1.1 has them (1:59:59), takes time with their square."""
WEIGHTS = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".onnx"})
FLOAT_TAG = "tag:yaml.org,2002:float"
NUMBER_TAGS = (FLOAT_TAG, "tag:yaml.org,2002:int")
EXPONENT = re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")
MERGE_TAG = "tag:yaml.org,2002:merge"
PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class CapError(yaml.MarkedYAMLError):
    """More of something than a file of settings has."""


class _Capped(Composer):
    """Makes nodes of what a parser finds, with caps on their number, depth and aliases."""

    most_nodes = MAX_NODES
    nodes = 0
    depth = 0
    aliases = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]
        mark = event.start_mark
        self.nodes += 1
        self.aliases += isinstance(event, yaml.AliasEvent)
        if self.nodes > self.most_nodes:
            raise CapError(problem=f"more than {self.most_nodes} values", problem_mark=mark)
        if self.aliases > MAX_ALIASES:
            raise CapError(problem=f"more than {MAX_ALIASES} aliases", problem_mark=mark)
        if self.depth >= MAX_DEPTH:
            raise CapError(problem=f"nested deeper than {MAX_DEPTH}", problem_mark=mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Loader(_Capped, yaml.SafeLoader):
    """SafeLoader with those caps, and with ``1e-4`` as a number (YAML 1.2)."""


_LIBYAML: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _ListLoader(_Capped, _LIBYAML):  # type: ignore[misc]
    """Ten times as fast, for long lists of names; libyaml says less well what is wrong."""

    most_nodes = 2 * MOST_NAMES + 100

    def __init__(self, text: str) -> None:
        _LIBYAML.__init__(self, text)
        Composer.__init__(self)


_Loader.add_implicit_resolver(FLOAT_TAG, EXPONENT, list("-+0123456789"))


class _Reader:
    """Turns composed nodes into values, noting each one's line."""

    def __init__(self, loader: _Loader, origin: Origin, with_lines: bool) -> None:
        self.loader = loader
        self.origin = origin
        self.with_lines = with_lines
        self.origins: dict[Key, Origin] = {}
        self.count = 0

    def place(self, node: Node) -> Origin:
        if not self.with_lines:
            return self.origin
        return self.origin._replace(place=f"{self.origin.place}:{node.start_mark.line + 1}")

    def fail(self, node: Node, message: str) -> UsageError:
        return UsageError(f"{self.place(node).place}: {message}")

    def read(self, node: Node, key: Key, key_node: Node | None = None) -> Any:
        self._count(node)
        if len(key) > MAX_DEPTH:
            raise self.fail(node, f"nested deeper than {MAX_DEPTH}, or an alias that contains itself")
        self.origins[key] = self.place(key_node or node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if node.tag not in PLAIN_TAGS:
            raise self.fail(node, f"YAML tag {node.tag!r} is not allowed; use plain values")
        if isinstance(node, SequenceNode):
            return [self.read(item, (*key, i)) for i, item in enumerate(node.value)]
        return self._mapping(node, key)

    def _count(self, node: Node) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            raise self.fail(node, f"aliases expand to more than {MAX_NODES} values; write them out or fewer")

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag in NUMBER_TAGS and len(node.value) > MAX_NUMBER:
            raise self.fail(node, f"a number of {len(node.value)} letters; over {MAX_NUMBER} are no setting")
        if node.tag == FLOAT_TAG and EXPONENT.match(node.value):
            return float(node.value)
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            problem = getattr(error, "problem", None) or str(error)
            raise self.fail(node, f"cannot read {node.value[:40]!r}: {problem}") from None

    def _mapping(self, node: Node, key: Key) -> dict[str, Any]:
        assert isinstance(node, MappingNode)
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merges: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == MERGE_TAG:
                merges += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            name = self._name(key_node)
            line = key_node.start_mark.line + 1
            if name in values:
                raise self.fail(key_node, f"key {name!r} stands twice, first in line {lines[name]}; keep one")
            values[name] = self.read(value_node, (*key, name), key_node)
            lines[name] = line
        for source in merges:
            if not isinstance(source, MappingNode):
                raise self.fail(source, "'<<' needs a mapping")
            for key_node, value_node in source.value:
                self._count(key_node)
                name = self._name(key_node)
                if name not in values:
                    values[name] = self.read(value_node, (*key, name), key_node)
        return values

    def _name(self, node: Node) -> str:
        name = self._scalar(node) if isinstance(node, ScalarNode) else None
        if type(name) is int and node.value == str(name):
            return str(name)  # a class id, as in names: {0: cat}
        if not isinstance(name, str):
            raise self.fail(node, "a key must be text; put it in quotes if it looks like a number or yes/no")
        return name


def compose(text: str) -> Node | None:
    """The nodes of a data.yaml; None of an empty one. yaml.YAMLError, ``CapError`` where it is over a cap."""
    node: Node | None = _ListLoader(text).get_single_node()
    return node


def parse(text: str, origin: Origin, with_lines: bool = True) -> Document:
    """YAML text -> values with origins. UsageError, one line, for anything that is not plain YAML.

    ``origin.place`` gets ``:line`` appended where ``with_lines``.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise UsageError(_syntax(error, origin.place, text, with_lines)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        place = f"{origin.place}:{line}" if with_lines else origin.place
        raise UsageError(f"{place}: character U+{error.character:04X} is not allowed in YAML") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{origin.place}: not YAML: {' '.join(str(error).split())}") from None
    if node is None:
        return Document(None, {(): origin})
    reader = _Reader(loader, origin, with_lines)
    value = reader.read(node, ())
    return Document(value, reader.origins)


def _syntax(error: yaml.MarkedYAMLError, place: str, text: str, with_lines: bool) -> str:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "not YAML"
    lines = text.splitlines()
    row = mark.line if mark else 0
    if with_lines:
        place = f"{place}:{row + 1}"
    if r"'\t'" in problem or (
        row < len(lines) and "\t" in lines[row][: len(lines[row]) - len(lines[row].lstrip())]
    ):
        return f"{place}: a tab in the indentation; YAML wants spaces"
    return f"{place}: {problem}" if isinstance(error, CapError) else f"{place}: not YAML: {problem}"


def _folder(path: Path) -> str:
    """What to give in a folder's place: a run's has its own configuration, data can be given one."""
    own = path / "config.yaml"
    if own.is_file():
        return (
            f"{path}: is a run's folder: foveal train --resume {path} goes on with it; its settings are {own}"
        )
    return f"{path}: is a folder; give a YAML file: foveal init {path} -o FILE writes one for data"


def read_file(path: Path) -> Document:
    """A YAML file whose top level is a mapping. UsageError, one line, otherwise."""
    if path.is_dir():
        raise UsageError(_folder(path))
    if path.suffix.lower() in WEIGHTS:
        raise UsageError(
            f"{path}: weights, not a configuration; fine-tune from them with foveal train CONFIG --from {path}"
        )
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; foveal init DATA -o {path.name} writes one") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path}: larger than {MAX_BYTES // 1000} kB, so not a configuration; for labels foveal init {path} "
            "writes one"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    document = parse(text, Origin(str(path), path.resolve().parent))
    if document.value is None:
        raise UsageError(f"{path}: empty; foveal init DATA -o FILE writes a configuration")
    if not isinstance(document.value, dict):
        kind = "a list" if isinstance(document.value, list) else "a single value"
        raise UsageError(f"{path}:1: holds {kind}; needed: sections such as data:, model:, training:")
    return document
