"""Which CSV files of a folder are labels, and where their pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foveal.config.schema import CsvSource, FileSource
from foveal.data.csv_columns import columns_of_header, is_header
from foveal.data.csv_file import CsvFile, read_csv_file
from foveal.data.csv_order import tell_order
from foveal.data.csv_pictures import PictureFinder, is_picture
from foveal.data.csv_rows import CsvRows
from foveal.data.parts import Part, if_meant, part_of, part_of_folder
from foveal.errors import DataError

SUFFIXES = (".csv", ".tsv")
NAMES_LOOKED_AT = 20
ONES = 3
"""So many sides at 1 and none at 0 are no accident: the numbers start at 1, as in Pascal VOC."""

Folders = Sequence[tuple[Path, list[str]]]


class _Table(NamedTuple):
    source: CsvSource
    rows: CsvRows


def csv_parts(
    files: Sequence[Path], folders: Folders, root: Path, links_out: Sequence[Path]
) -> tuple[dict[Part, FileSource], list[str]]:
    """The parts that tables hold, and what a person should know. Empty: none of them is about boxes.

    links_out: as of ``walk``. DataError where the only tables that may be labels cannot be understood.
    """
    found: dict[Part, _Table] = {}
    refused: list[DataError] = []
    for file in files:
        try:
            tables = _parts_of(file, folders, root, links_out)
        except DataError as error:
            refused.append(error)
            continue
        for part, table in tables.items():
            if part in found:
                both = f"{found[part].source.annotations} and {file}"
                raise DataError(
                    f"{root}: both {both} look like the {part} labels; give the file itself: foveal init {file}"
                )
            found[part] = table
    if not found and refused:
        raise refused[0]
    notes = [f"{error}: not used" for error in refused]
    starts = {part: _starts_at_one(table.rows) for part, table in found.items()}
    if True in starts.values() and False not in starts.values():
        notes.append(
            "No left or top side is at 0 and several are at 1: the numbers are taken to start at 1, as in\n"
            "Pascal VOC (corners: one_based)."
        )
        return {p: t.source.model_copy(update={"corners": "one_based"}) for p, t in found.items()}, notes
    return {part: table.source for part, table in found.items()}, notes


def _parts_of(file: Path, folders: Folders, root: Path, links_out: Sequence[Path]) -> dict[Part, _Table]:
    """The parts of one table: by its split column, else by its name."""
    table = read_csv_file(file)
    if not _may_be_labels(table):
        return {}
    name = part_of(file.stem) or part_of_folder(file.parent, root) or "all"
    images = _pictures_of(table, folders, name, links_out)
    columns = (
        columns_of_header(table.lines[0].cells, table.where(table.lines[0]))
        if is_header(table)
        else tell_order(table, PictureFinder(images).size)
    )
    rows = CsvRows(table, columns, "auto")
    source = CsvSource(
        format="csv",
        annotations=str(file.absolute()),
        images=None if images == file.parent else str(images.absolute()),
    )
    values = {rows.cell(line, "split") for line in rows.lines} if "split" in columns.roles else set()
    parts = {part: value for value in sorted(values) if (part := part_of(value)) is not None}
    if parts:
        return {
            part: _Table(source.model_copy(update={"part": value}), rows) for part, value in parts.items()
        }
    return {name: _Table(source, rows)}


def _may_be_labels(table: CsvFile) -> bool:
    """Whether a table is about pictures at all: a folder may hold any other."""
    cells = [cell for line in table.lines[1:NAMES_LOOKED_AT] or table.lines for cell in line.cells]
    return any(map(is_picture, cells)) or _has_box_header(table)


def _has_box_header(table: CsvFile) -> bool:
    try:
        columns_of_header(table.lines[0].cells, "")
    except DataError:
        return False
    return True


def _pictures_of(table: CsvFile, folders: Folders, part: Part, links_out: Sequence[Path]) -> Path:
    """The folder in which the table's pictures are: beside it, else one of its part, else any that has them."""
    first = table.path.parent
    others = [folder for folder, _ in folders if folder != first]
    ordered = [first, *sorted(others, key=lambda folder: part_of(folder.name) != part)]
    cells = dict.fromkeys(cell for line in table.lines[: 5 * NAMES_LOOKED_AT] for cell in line.cells if cell)
    names = [cell for cell in cells if is_picture(cell)] or _first_files(table)
    names = [name for name in names if "\0" not in name][:NAMES_LOOKED_AT]
    for folder in ordered:
        if any(_is_file(folder / name) for name in names):
            return folder
    for folder in ordered:
        if any(PictureFinder(folder).find(name) is not None for name in names):
            return folder
    if not names:
        raise DataError(f"{table.path}: names no picture: it has a header and no row")
    out = next((link for link in links_out if link.is_dir()), None)
    told = f"; {out} is a link out of it: {if_meant('csv', table.path, out)}" if out else ""
    raise DataError(
        f"{table.path}: its pictures, such as {names[0]!r}, were not found in {first} or the folders below{told}"
    )


def _first_files(table: CsvFile) -> list[str]:
    """Names without an extension, by the header."""
    if not _has_box_header(table):
        return []
    rows = CsvRows(table, columns_of_header(table.lines[0].cells, ""), "pixels")
    return [rows.cell(line, "file") for line in rows.lines[:NAMES_LOOKED_AT]]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # A name too long for the file system.
        return False


def _starts_at_one(rows: CsvRows) -> bool | None:
    """Whether corners are 1-based; None where nothing tells."""
    if rows.relative or rows.columns.box != "corners":
        return None
    sides = [rows.columns.roles[role] for role in ("x1", "y1")]
    values = [rows.number(line, side) for line in rows.lines for side in sides]
    known = [value for value in values if value is not None]
    if not known or any(not value.is_integer() for value in known if abs(value) < 1e9):
        return None
    if min(known) < 1:
        return False
    return True if known.count(1.0) >= ONES else None
