"""Rows of a CSV file whose columns are known -> text, numbers and boxes."""

from __future__ import annotations

import math
from typing import Literal

from foveal.data.csv_cell import text_of
from foveal.data.csv_columns import Columns
from foveal.data.csv_file import CsvFile, Line, cell_number
from foveal.data.parts import part_of
from foveal.errors import DataError

Units = Literal["auto", "pixels", "relative"]
RELATIVE_OVER = 2.0
"""No share of a picture is above this, and hardly a box in pixels is below."""

Box = tuple[float, float, float, float]


class CsvRows:
    """The rows below the header, if there is one."""

    def __init__(self, file: CsvFile, columns: Columns, units: Units) -> None:
        self.file = file
        self.columns = columns
        self.lines = file.lines[1:] if columns.header else file.lines
        self.relative = units == "relative" or (units == "auto" and self._looks_relative())

    def _looks_relative(self) -> bool:
        """Whether the numbers are shares of the picture: nearly no row has one that is far over 1."""
        sides = self.columns.sides()
        tops = []
        for line in self.lines:
            values = [self.number(line, side) for side in sides]
            known = [abs(value) for value in values if value is not None and math.isfinite(value)]
            if len(known) == len(sides):
                tops.append(max(known))
        return bool(tops) and sum(top <= RELATIVE_OVER for top in tops) > 0.9 * len(tops)

    def number(self, line: Line, column: int) -> float | None:
        return cell_number(line.cells[column], self.file.delimiter) if column < len(line.cells) else None

    def cell(self, line: Line, role: str) -> str:
        column = self.columns.roles.get(role, len(line.cells))
        return line.cells[column] if column < len(line.cells) else ""

    def class_name(self, line: Line) -> str:
        """The class as it was before a spreadsheet's quote."""
        return text_of(self.cell(line, "class"))

    def of_part(self, part: str | None) -> list[Line]:
        if part is None:
            return self.lines
        if "split" not in self.columns.roles:
            raise DataError(f"{self.file.path}: part: {part} needs a column that says train, val or test")
        wanted = part_of(part) or part
        return [
            line
            for line in self.lines
            if wanted in (self.cell(line, "split"), part_of(self.cell(line, "split")))
        ]

    def picture_size(self, line: Line) -> tuple[int, int] | None:
        """Height and width as the row states them, or None."""
        sides = [
            cell_number(self.cell(line, f"picture_{side}"), self.file.delimiter)
            for side in ("height", "width")
        ]
        known = [int(side) for side in sides if side is not None and 0 < side < 1e9 and side.is_integer()]
        return (known[0], known[1]) if len(known) == 2 else None

    def corners(self, line: Line, size: tuple[int, int]) -> Box | str:
        """x1, y1, x2, y2 in pixels of a picture of ``size`` (height, width), or why there are none."""
        values: list[float] = []
        for side in self.columns.sides():
            value = self.number(line, side)
            if value is None:
                return f"{line.cells[side][:40]!r} in column {side + 1} is no number"
            values.append(value)
        a, b, c, d = values
        if self.relative:
            if max(values) > RELATIVE_OVER and all(map(math.isfinite, values)):
                return f"{max(values):.6g} among shares of the picture looks like pixels"
            height, width = size
            a, b, c, d = a * width, b * height, c * width, d * height
        if self.columns.box == "corners":
            return a, b, c, d
        left, top = (a, b) if self.columns.box == "size" else (a - c / 2, b - d / 2)
        return left, top, left + c, top + d
