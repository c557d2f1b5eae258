"""A CSV file's text -> its lines of cells, with the delimiter told by looking (RFC 4180, and what else occurs)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from foveal.data.lists import lines_of, number, read_text
from foveal.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
LINES_LOOKED_AT = 50


class Line(NamedTuple):
    """One record of the file."""

    number: int
    """Where it begins, counted from 1."""
    cells: list[str]


class CsvFile(NamedTuple):
    """The file as cells, without blank lines."""

    path: Path
    delimiter: str
    lines: list[Line]

    def where(self, line: Line) -> str:
        """``file:line``."""
        return f"{self.path}:{line.number}"


def read_csv_file(path: Path) -> CsvFile:
    """Read the file. DataError, with the line where there is one, where it is no table."""
    text = read_text(path, "CSV file")
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes, so it is no CSV file")
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines = []
    start = 1
    try:
        for cells in reader:
            # A line break inside a cell stays: it may tell of a quote that was left open.
            stripped = [cell if "\n" in cell or "\r" in cell else cell.strip() for cell in cells]
            if any(stripped):
                lines.append(Line(start, stripped))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error} (is a quote left open?)") from error
    if not lines:
        raise DataError(f"{path}: empty")
    return CsvFile(path, delimiter, lines)


def _delimiter(text: str) -> str:
    """The one that parts the first lines into the same number of cells, and into most."""
    first = [line for line in lines_of(text[:200_000]) if line.strip()][:LINES_LOOKED_AT]

    def score(delimiter: str) -> tuple[bool, float, int]:
        try:
            counts = Counter(len(cells) for cells in csv.reader(first, delimiter=delimiter))
        except csv.Error:
            return False, 0.0, 0
        cells, rows = counts.most_common(1)[0] if counts else (0, 0)
        return cells > 1, rows / max(1, counts.total()), cells

    return max(DELIMITERS, key=score)


def cell_number(text: str, delimiter: str = ",") -> float | None:
    """A cell as a number, with a decimal comma where commas do not part the cells; None for anything else."""
    return number(text if delimiter == "," else text.replace(",", "."))
