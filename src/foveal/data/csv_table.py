"""One CSV file for many pictures, one box a row -> records.

There is no standard; read are the exports of labelling tools, the files of keras-retinanet, OpenImages, and those
made from Pascal VOC by the scripts of TensorFlow's tutorials. ``csv_columns`` and ``csv_order`` tell which column
is which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foveal.data.builder import RecordsBuilder
from foveal.data.csv_columns import MARKS, Columns, columns_of_header, columns_of_mapping, is_header
from foveal.data.csv_file import CsvFile, Line, cell_number, read_csv_file
from foveal.data.csv_order import tell_order
from foveal.data.csv_pictures import PictureFinder
from foveal.data.csv_rows import CsvRows, Units
from foveal.data.flags import DEFAULT_FLAGS, Flags, is_set
from foveal.data.inside import same_form, slashed, spellings
from foveal.data.lists import lines_of, read_lines
from foveal.data.records import Records
from foveal.data.voc import SHIFT, Corners
from foveal.errors import DataError


def read_csv(
    annotations: Path,
    images: Path | None = None,
    split: Path | None = None,
    part: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    corners: Corners = "raw",
    units: Units = "auto",
    classes: Sequence[str] | None = None,
    strict: bool = False,
    flags: Flags = DEFAULT_FLAGS,
) -> Records:
    """Read one CSV file.

    images: folder of the pictures; default: the file's own. split: list of pictures, one name a line; default:
    all that the file names. part: value of the split column whose rows are read; default: all.
    columns: role -> name in the header, or number from 1; default: told by looking. corners: as in ``read_voc``,
    for corners in pixels. units: auto takes numbers that hardly ever pass 1 for shares of the picture.
    classes: names in model order; default: those that have a usable box, by name. Class ids are 1..K, image ids
    1..P in the order of the file, or of the split.
    A row with a picture alone is background, and counted. flags: what becomes of marked boxes.
    DataError: the file as a whole cannot be used, or its columns are not clear; one bad row is a Fault.
    """
    file = read_csv_file(Path(annotations))
    folder = Path(images) if images is not None else Path(annotations).parent
    builder = RecordsBuilder(folder, split or file.path, strict)
    finder = PictureFinder(folder)
    rows = CsvRows(file, find_columns(file, finder, columns), units)
    return _CsvTable(file, rows, builder, finder, corners, flags).read(classes, split, part)


def find_columns(file: CsvFile, finder: PictureFinder, mapping: Mapping[str, str | int] | None) -> Columns:
    """Which column is which: as the settings say, or by the header, or by looking at the numbers."""
    first = file.lines[0]
    numeric = [not cell or cell_number(cell, file.delimiter) is not None for cell in first.cells]
    if mapping:
        return columns_of_mapping(mapping, first.cells, file.where(first), numeric)
    if is_header(file):
        return columns_of_header(first.cells, file.where(first))
    return tell_order(file, finder.size)


class _CsvTable:
    """One read: what the columns are, and the classes met so far."""

    def __init__(
        self,
        file: CsvFile,
        rows: CsvRows,
        builder: RecordsBuilder,
        finder: PictureFinder,
        corners: Corners,
        flags: Flags,
    ) -> None:
        self.file = file
        self.rows = rows
        self.builder = builder
        self.finder = finder
        self.flags = flags
        self.width = len(file.lines[0].cells)
        self.needed = max(rows.columns.roles.values()) + 1
        self.marks = [mark for mark in MARKS if mark in rows.columns.roles]
        if corners not in SHIFT:
            raise ValueError(f"corners must be one_based or raw, not {corners!r}")
        if corners == "one_based" and (rows.relative or rows.columns.box != "corners"):
            raise DataError(f"{file.path}: corners: one_based needs x1 y1 x2 y2 in pixels; remove it")
        self.shift = SHIFT[corners]
        self.labels: dict[str, int] = {}
        self.any_class = True

    def read(self, classes: Sequence[str] | None, split: Path | None, part: str | None) -> Records:
        self.any_class = classes is None
        self.labels = {name: index for index, name in enumerate(dict.fromkeys(classes or ()))}
        rows = self._by_picture(self.rows.of_part(part), counted=split is None)
        for relative, where in self._listed(split) if split else self._in_file(rows):
            self._read_picture(relative, where, rows.get(relative, []))
        if self.any_class:
            self.builder.declare(dict(enumerate(sorted(self.labels, key=class_order), start=1)))
        return self.builder.finish(list(self.labels), not self.any_class, class_order)

    # ------------------------------------------------------------ which rows, which pictures

    def _by_picture(self, lines: Sequence[Line], counted: bool) -> dict[str, list[Line]]:
        """Rows by their picture's path, in order of first appearance; what has none is counted, or passed over."""
        paths: dict[str, str | None] = {}
        owners: dict[str, str] = {}
        rows: dict[str, list[Line]] = {}
        for line in lines:
            if not self._is_whole(line):
                continue
            name = self.rows.cell(line, "file")
            if name not in paths:
                paths[name] = self._find(name, self.file.where(line), owners, counted)
            relative = paths[name]
            if relative is not None:
                rows.setdefault(relative, []).append(line)
        return rows

    def _find(self, name: str, where: str, owners: dict[str, str], counted: bool) -> str | None:
        """The picture of a name; None, counted or passed over, where there is none, or it is another name's.

        owners: picture -> the name that it was found by first.
        """
        relative = self.finder.find(name)
        if relative is None:
            if counted:
                self.builder.locate(spellings(name), where)
        elif not _same_picture(name, owners.setdefault(relative, name)):
            taken = f"no picture {name!r}; {relative!r} is already that of {owners[relative]!r}: left out"
            self.builder.fault("missing_picture", where, taken)
            return None
        return relative

    def _is_whole(self, line: Line) -> bool:
        """Whether a row has as many cells as the first; counted where not."""
        cells, where = line.cells, self.file.where(line)
        if any("\n" in cell or "\r" in cell for cell in cells) and self._quote_is_open(cells):
            self.builder.fault("unreadable_labels", where, "a quote runs over several lines: dropped")
        elif len(cells) < self.needed or any(cells[self.width :]):
            wrong = f"{len(cells)} cells, and the first line has {self.width}: dropped"
            self.builder.fault("unreadable_labels", where, wrong)
        elif not self.rows.cell(line, "file"):
            self.builder.fault("missing_picture", where, "no name of a picture: dropped")
        elif self.rows.columns.header and cells == self.file.lines[0].cells:
            self.builder.fault("unreadable_labels", where, "the header once more: dropped")
        else:
            return True
        return False

    def _quote_is_open(self, cells: Sequence[str]) -> bool:
        """Whether a cell of several lines holds rows: a remark may have lines, nothing that is read here has."""
        read = set(self.rows.columns.roles.values())
        for column, cell in enumerate(cells):
            more = lines_of(cell)[1:]
            if more and (column in read or any(t.count(self.file.delimiter) >= self.width - 1 for t in more)):
                return True
        return False

    def _in_file(self, rows: Mapping[str, list[Line]]) -> list[tuple[str, str]]:
        return [(relative, self.file.where(lines[0])) for relative, lines in rows.items()]

    def _listed(self, split: Path) -> list[tuple[str, str]]:
        """Pictures of the split, each once, with its line."""
        found: dict[str, str] = {}
        for name, where in read_lines(split):
            relative = self.finder.find(name)
            if relative is None:
                self.builder.locate((name,), where)
            elif relative in found:
                again = f"{name!r} is listed again: the first one counts"
                self.builder.fault("duplicate_id", where, again)
            else:
                found[relative] = where
        return list(found.items())

    # ------------------------------------------------------------ one picture

    def _read_picture(self, relative: str, where: str, lines: Sequence[Line]) -> None:
        builder = self.builder
        declared = self.rows.picture_size(lines[0]) if lines else None
        if not builder.add_picture(relative, where, len(builder) + 1, declared):
            return
        if not lines:
            builder.fault("no_label_file", where, f"no row in {self.file.path}: background")
            return
        seen: dict[tuple[str, ...], str] = {}
        sides = self.rows.columns.sides()
        boxes = 0
        for line in lines:
            place = self.file.where(line)
            key = (self.rows.class_name(line), *(line.cells[side] for side in sides))
            if not any(key):
                continue
            boxes += 1
            if key in seen:
                builder.fault("duplicate_box", place, f"the same box as in {seen[key]}: dropped")
            else:
                seen[key] = place
                self._read_row(line, place)
        if not boxes:
            builder.fault("empty_labels", where, "no box: background")

    def _read_row(self, line: Line, where: str) -> None:
        builder, name = self.builder, self.rows.class_name(line)
        if self.any_class and name:
            self.labels.setdefault(name, len(self.labels))
        label = self.labels.get(name)
        if label is None:
            what = f"class {name!r} is not wanted" if name else "a box without a class"
            builder.fault("unknown_class", where, f"{what}: dropped")
            return
        corners = self.rows.corners(line, builder.size)
        if isinstance(corners, str):
            builder.fault("bad_number", where, f"{corners}: dropped")
            return
        marks = [mark for mark in self.marks if is_set(self.rows.cell(line, mark))]
        ignored = self.flags.judge(marks, where, builder)
        if ignored is not None:
            builder.add_box(corners, label, where, crowd=ignored, shift=self.shift)


def class_order(name: str) -> tuple[int, str]:
    """Class numbers by value, then names by letter."""
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 10 else (10**10, name)


def _same_picture(name: str, other: str) -> bool:
    """Whether two names of one picture may both mean it: the folders of one are the end of the other's."""
    folders = [[step for step in slashed(same_form(n)).parent.parts if step != "."] for n in (name, other)]
    common = min(map(len, folders))
    return not common or folders[0][-common:] == folders[1][-common:]
