"""One Pascal VOC XML file -> what it says, unchecked, with line numbers.

Parsed by defusedxml: no DTD, no entities, a cap on size and depth. Only the few fields below are kept, so
that a hostile file costs no more memory than its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from foveal.data.lists import read_content
from foveal.errors import DataError

MAX_BYTES = 5_000_000
"""A larger file is refused unread."""
MAX_DEPTH = 64

_OBJECT = ("annotation", "object")
_OBJECT_FIELDS = frozenset(
    {(tag,) for tag in ("name", "difficult", "truncated", "occluded")}
    | {("bndbox", side) for side in ("xmin", "ymin", "xmax", "ymax")}
)
_SHEET_FIELDS = frozenset(
    {("annotation", "filename"), ("annotation", "size", "width"), ("annotation", "size", "height")}
)


@dataclass
class VocObject:
    """One ``object`` element."""

    line: int
    fields: dict[str, str] = field(default_factory=dict)
    """Text by tag: name, difficult, truncated, occluded, xmin, ymin, xmax, ymax; the first of a repeated tag."""


@dataclass
class VocSheet:
    """One ``annotation`` element."""

    fields: dict[str, str] = field(default_factory=dict)
    """Text by tag: filename, width, height."""
    objects: list[VocObject] = field(default_factory=list)


def read_sheet(path: Path) -> VocSheet:
    """Parse one file. DataError, with the line where there is one, for anything but a VOC annotation."""
    content = read_content(path, "label file", MAX_BYTES)
    target = _Collector()
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    target.expat = parser.parser
    try:
        parser.feed(content)
        parser.close()
    except DefusedXmlException as error:
        refused = type(error).__name__.removesuffix("Forbidden")
        raise DataError(
            f"{path}:{target.line()}: refused: XML with a {refused} (a label file needs none)"
        ) from error
    except (ParseError, ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{path}:{target.line()}: not XML: {' '.join(str(error).split())}") from error
    return target.sheet


class _Collector:
    """Target of the parser: follows the path of open tags and keeps the text of the known ones."""

    def __init__(self) -> None:
        self.sheet = VocSheet()
        self.expat: Any = None
        self._path: list[str] = []
        self._object: VocObject | None = None
        self._text: list[str] = []

    def line(self) -> int:
        return int(self.expat.CurrentLineNumber)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        if len(self._path) > MAX_DEPTH:
            raise ValueError(f"tags nested more than {MAX_DEPTH} deep")
        if len(self._path) == 1 and tag != "annotation":
            raise ValueError(f"the root is <{tag[:40]}>, and Pascal VOC's is <annotation>")
        self._text = []
        if tuple(self._path) == _OBJECT:
            self._object = VocObject(self.line())
            self.sheet.objects.append(self._object)

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        path = tuple(self._path)
        self._path.pop()
        if path == _OBJECT:
            self._object = None
        elif self._object is not None and path[2:] in _OBJECT_FIELDS:
            self._object.fields.setdefault(tag, "".join(self._text).strip())
        elif path in _SHEET_FIELDS:
            self.sheet.fields.setdefault(tag, "".join(self._text).strip())
        self._text = []

    def close(self) -> VocSheet:
        return self.sheet
