"""Settings as a tree that remembers where every value stands, so that an error can name file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

Key = tuple[str | int, ...]
"""The way to a value: names of mappings, indices of lists."""


def dotted(key: Key) -> str:
    """``model.losses.assigner``; list items as ``.0``, the way an override writes them."""
    return ".".join(str(step) for step in key)


class Origin(NamedTuple):
    """Where a value was written."""

    place: str
    """``file.yaml:12`` or ``override model.x=3``."""
    folder: Path
    """Relative paths in the value start here."""
    override: bool = False


class Document:
    """Plain values (dicts, lists, scalars) and, beside them, the origin of each."""

    def __init__(self, value: Any, origins: dict[Key, Origin]) -> None:
        self.value = value
        self.origins = origins

    def get(self, key: Key) -> Any:
        """The value at ``key``; None where there is none."""
        node = self.value
        for step in key:
            inside = range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()
            if step not in inside:
                return None
            node = node[step]
        return node

    def mapping(self, key: Key) -> dict[str, Any]:
        """The mapping at ``key``; an empty one where there is none or another value."""
        node = self.get(key)
        return node if isinstance(node, dict) else {}

    def origin(self, key: Key) -> Origin:
        """Origin of the value, or of the nearest value around it."""
        while key and key not in self.origins:
            key = key[:-1]
        return self.origins[key]

    def put(self, key: Key, value: Any, origin: Origin) -> None:
        """Writes a value; mappings on the way are made. What stood there is forgotten."""
        self._forget(key)
        node = self.value
        for depth, step in enumerate(key[:-1]):
            if isinstance(node, dict) and not isinstance(node.get(step), (dict, list)):
                node[step] = {}
                self.origins[key[: depth + 1]] = origin
            node = node[step]
        if isinstance(node, list) and key[-1] == len(node):
            node.append(value)
        else:
            node[key[-1]] = value
        self.origins[key] = origin

    def remove(self, key: Key) -> Any:
        """Takes a mapping's item out and returns it."""
        self._forget(key)
        return self.get(key[:-1]).pop(key[-1])

    def move(self, key: Key, to: Key) -> None:
        """Renames or moves a scalar or list; it keeps its origin."""
        origin = self.origin(key)
        self.put(to, self.remove(key), origin)

    def _forget(self, key: Key) -> None:
        for inner in [k for k in self.origins if k[: len(key)] == key]:
            del self.origins[inner]
