"""Which column of a CSV file means what, from its header or from the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from foveal.config.data_settings import COLUMNS
from foveal.data.csv_file import CsvFile, cell_number
from foveal.errors import DataError

BOXES = {
    "corners": ("x1", "y1", "x2", "y2"),
    "size": ("x", "y", "w", "h"),
    "centre": ("cx", "cy", "w", "h"),
}
"""The ways to write a box: left, top, right, bottom; left, top, width, height; centre, width, height."""
MARKS = ("difficult", "truncated", "occluded", "crowd")

_NAMES = {
    "file": "filename file imagefilename imagefile imagepath imgpath filepath path imagename imgname image img "
    "imageid imgid picture",
    "class": "class classname label labelname category categoryname celltype objectclass objectname object "
    "species type name classid labelid categoryid",
    "x1": "xmin x1 left xleft xtl minx",
    "y1": "ymin y1 top ytop ytl miny",
    "x2": "xmax x2 right xright xbr maxx",
    "y2": "ymax y2 bottom ybottom ybr maxy",
    "x": "x",
    "y": "y",
    "cx": "cx xcenter xcentre centerx centrex xc xmid",
    "cy": "cy ycenter ycentre centery centrey yc ymid",
    "w": "w bw boxwidth bboxwidth boxw bboxw",
    "h": "h bh boxheight bboxheight boxh bboxh",
    "picture_width": "imagewidth imgwidth picturewidth imagew imgw framewidth",
    "picture_height": "imageheight imgheight pictureheight imageh imgh frameheight",
    "difficult": "difficult isdifficult",
    "truncated": "truncated istruncated",
    "occluded": "occluded isoccluded",
    "crowd": "iscrowd crowd isgroupof groupof",
    "split": "split set subset dataset",
}
HEADER_NAMES = {role: tuple(names.split()) for role, names in _NAMES.items()}
"""Names of each column in lower case, letters and digits only; of two that are there, the earlier one counts."""
_ALL_NAMES = {name for names in HEADER_NAMES.values() for name in names} | {"width", "height", "bbox"}


class Columns(NamedTuple):
    """What was understood."""

    roles: dict[str, int]
    """Role -> column, from 0."""
    box: str
    """A key of ``BOXES``."""
    header: bool
    """Whether the first line is one."""

    def sides(self) -> list[int]:
        """Columns of the four numbers of a box."""
        return [self.roles[role] for role in BOXES[self.box]]


def bare(name: str) -> str:
    """A header's name without case, blanks and signs: ``Image Width`` -> imagewidth."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _known_names(cells: Sequence[str]) -> int:
    """How many cells are names of columns that are known here."""
    return sum(bare(cell) in _ALL_NAMES or bare(cell).removeprefix("bbox") in _ALL_NAMES for cell in cells)


def is_header(file: CsvFile) -> bool:
    """Whether the first line names the columns: it holds no number, and known names or text above numbers."""
    first, rest = file.lines[0].cells, [line.cells for line in file.lines[1:50]]
    if any(cell_number(cell, file.delimiter) is not None for cell in first):
        return False
    above = (
        cell and any(len(cells) > c and cell_number(cells[c], file.delimiter) is not None for cells in rest)
        for c, cell in enumerate(first)
    )
    return _known_names(first) >= 2 or sum(map(bool, above)) >= 4


def columns_of_header(cells: Sequence[str], where: str) -> Columns:
    """The roles of a header's columns. DataError, with what to write, where one is missing or stands twice."""
    names = [bare(cell) for cell in cells]
    names = [name.removeprefix("bbox") if len(name) > 4 else name for name in names]
    names = [name if name not in ("width", "height") or cell[:1] not in "bB" else f"box{name}"
             for name, cell in zip(names, cells, strict=True)]  # fmt: skip
    if "x0" in names:  # x0, x1 for the left and the right side.
        later = {"x1": "x2", "y1": "y2", "x0": "x1", "y0": "y1"}
        names = [later.get(name, name) for name in names]
    roles: dict[str, int] = {}
    for role, known in HEADER_NAMES.items():
        found = next((name for name in known if name in names), None)
        if found is not None:
            if names.count(found) > 1:
                raise _unclear(where, f"column {cells[names.index(found)]!r} stands twice", cells)
            roles[role] = names.index(found)
    if {"name", "score", "label"} <= set(names):
        roles["class"] = names.index("name")  # as foveal predict writes it: its label is the class's number
    _place_width(roles, names, cells, where)
    if "w" in roles and {"x1", "y1"} <= roles.keys() and not {"x2", "y2"} & roles.keys():
        roles |= {"x": roles["x1"], "y": roles["y1"]}
    box = next((kind for kind, sides in BOXES.items() if roles.keys() >= set(sides)), None)
    missing = [role for role in ("file", "class") if role not in roles]
    if box is None:
        missing.append("box (x1 y1 x2 y2, x y w h, or cx cy w h)")
    if missing or box is None:
        raise _unclear(where, f"no column for {' and '.join(missing)}", cells)
    return Columns(roles, box, True)


def _place_width(roles: dict[str, int], names: Sequence[str], cells: Sequence[str], where: str) -> None:
    """``width`` and ``height`` are the box's where it is not whole without them, else the picture's."""
    whole = any(roles.keys() >= set(sides) for sides in BOXES.values())
    for name, of_box, of_picture in (("width", "w", "picture_width"), ("height", "h", "picture_height")):
        if name not in names:
            continue
        if names.count(name) > 1:
            raise _unclear(where, f"column {name!r} stands twice: the picture's and the box's?", cells)
        roles.setdefault(of_picture if whole else of_box, names.index(name))


def columns_of_mapping(
    mapping: Mapping[str, str | int], cells: Sequence[str], where: str, numeric: Sequence[bool]
) -> Columns:
    """The roles that the settings give, by the header's names or by numbers from 1.

    numeric: which cells of the first line are numbers or blank: where a box's are not, the line is a header.
    """
    roles = {}
    for role, wanted in mapping.items():
        if role not in COLUMNS:
            raise DataError(f"{where}: columns: no such column {role!r}; known are {', '.join(COLUMNS)}")
        if isinstance(wanted, int):
            if not 1 <= wanted <= len(cells):
                raise DataError(
                    f"{where}: columns: {role}: {wanted}, but there are columns 1 to {len(cells)}"
                )
            roles[role] = wanted - 1
        elif list(cells).count(wanted) == 1:
            roles[role] = list(cells).index(wanted)
        else:
            raise _unclear(where, f"columns: {role}: no single column is called {wanted!r}", cells)
    boxes = [kind for kind, sides in BOXES.items() if roles.keys() >= set(sides)]
    if len(boxes) != 1 or not {"file", "class"} <= roles.keys():
        needed = "file, class and one of x1 y1 x2 y2, x y w h, cx cy w h"
        raise DataError(f"{where}: columns: needed are {needed}; given: {', '.join(mapping)}")
    named = any(isinstance(wanted, str) for wanted in mapping.values())
    columns = Columns(roles, boxes[0], True)
    return columns._replace(header=named or not all(numeric[side] for side in columns.sides()))


def _unclear(where: str, what: str, cells: Sequence[str]) -> DataError:
    shown = " ".join(", ".join(cells).split())[:200]
    advice = "columns: {file: NAME, class: NAME, x1: NAME, y1: NAME, x2: NAME, y2: NAME}"
    return DataError(
        f"{where}: {what}; the columns are {shown}; add {advice} to the source, each NAME one of these, or its "
        "number from 1"
    )
