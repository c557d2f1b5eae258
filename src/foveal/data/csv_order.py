"""The order of columns without a header, told from the numbers and the sizes of the pictures.

Only what the evidence leaves no doubt about is taken; anything else is an error that says what to write. One
convention is taken for granted, as in every such file we know: x stands before y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from foveal.data.csv_columns import Columns
from foveal.data.csv_file import CsvFile, cell_number
from foveal.data.csv_pictures import is_picture
from foveal.data.parts import part_of
from foveal.errors import DataError

LINES_LOOKED_AT = 5000
PICTURES_LOOKED_AT = 200
MISFITS = 50
"""One row in so many may contradict an order: every file has its bad boxes."""

SizeOf = Callable[[str], tuple[int, int] | None]
"""A cell that names a picture -> its height and width, where it can be found."""
Four = tuple[float, float, float, float]


class _Order(NamedTuple):
    roles: tuple[str, str, str, str]
    box: str


ORDERS = (
    _Order(("x1", "y1", "x2", "y2"), "corners"),
    _Order(("x1", "x2", "y1", "y2"), "corners"),
    _Order(("x", "y", "w", "h"), "size"),
    _Order(("cx", "cy", "w", "h"), "centre"),
)
Y_FIRST = (
    _Order(("y1", "x1", "y2", "x2"), "corners"),
    _Order(("y1", "y2", "x1", "x2"), "corners"),
)


class _Guess(NamedTuple):
    """One way to read the columns, and how many rows contradict it."""

    roles: dict[str, int]
    box: str
    misfits: int


def tell_order(file: CsvFile, size_of: SizeOf) -> Columns:
    """The columns of a file without a header. DataError, with the choices, where they are not clear."""
    table = _Table(file, size_of)
    guesses = [g for rest, roles in table.classes() for g in table.guesses(rest, roles, ORDERS)]
    fits = [guess for guess in guesses if guess.misfits <= len(table.rows) // MISFITS]
    if len(fits) == 1:
        return Columns(fits[0].roles, fits[0].box, False)
    first = file.where(file.lines[0])
    if fits:
        choices = " or ".join(_columns(guess.roles) for guess in fits)
        raise DataError(
            f"{first}: no header, and the order of the columns is not clear: add {choices} to the source"
        )
    y_first = [g for rest, roles in table.classes() for g in table.guesses(rest, roles, Y_FIRST)]
    best = min([*guesses, *y_first], key=lambda guess: guess.misfits)
    raise DataError(
        f"{first}: no header, and no usual order of the columns fits all of {len(table.rows)} rows; the nearest, "
        f"with {best.misfits} that do not fit, is {_columns(best.roles)}: add it to the source if it is meant"
    )


class _Table:
    """The first lines of a file: kinds of columns, and rows of numbers with the size of their picture."""

    def __init__(self, file: CsvFile, size_of: SizeOf) -> None:
        self.file = file
        self.where = file.where(file.lines[0])
        self.lines = [line.cells for line in file.lines[:LINES_LOOKED_AT]]
        self.width = max(len(cells) for cells in self.lines)
        self.roles: dict[str, int] = {}
        texts = [column for column in range(self.width) if self._filled(column) and not self._numeric(column)]
        self._name_texts(texts)
        self.numbers = [c for c in range(self.width) if self._filled(c) and self._numeric(c)]
        self.rows = self._rows(size_of)
        if not self.rows:
            raise self._unclear("no row has numbers and a picture that can be found")
        self._take_picture_size()
        if all(value <= 1 for row, _ in self.rows for value in self._values(row, self.numbers)):
            self.rows = [(row, (1, 1)) for row, _ in self.rows]

    def _cells(self, column: int) -> list[str]:
        return [cells[column] for cells in self.lines if column < len(cells) and cells[column]]

    def _filled(self, column: int) -> bool:
        return bool(self._cells(column))

    def _numeric(self, column: int) -> bool:
        cells = self._cells(column)
        bad = sum(cell_number(cell, self.file.delimiter) is None for cell in cells)
        return bad <= len(cells) // MISFITS

    def _name_texts(self, texts: Sequence[int]) -> None:
        files = [c for c in texts if _share(map(is_picture, self._cells(c))) > 0.9]
        splits = [c for c in texts if all(_is_split(cell) for cell in self._cells(c))]
        rest = [c for c in texts if c not in files and c not in splits]
        if len(files) != 1:
            found = f"{len(files) or 'no'} columns hold names of pictures"
            raise self._unclear(found)
        if len(splits) > 1 or len(rest) > 1:
            listed = ", ".join(str(c + 1) for c in (splits if len(splits) > 1 else rest))
            raise self._unclear(f"columns {listed} might each be the class")
        self.roles["file"] = files[0]
        if splits:
            self.roles["split"] = splits[0]
        if rest:
            self.roles["class"] = rest[0]

    def _rows(self, size_of: SizeOf) -> list[tuple[list[str], tuple[int, int]]]:
        sizes: dict[str, tuple[int, int] | None] = {}
        rows = []
        for cells in self.lines:
            whole = len(cells) == self.width and all(
                cell_number(cells[c], self.file.delimiter) is not None for c in self.numbers
            )
            if not whole or not self.numbers:
                continue
            name = cells[self.roles["file"]]
            if name not in sizes and len(sizes) < PICTURES_LOOKED_AT:
                sizes[name] = size_of(name)
            size = sizes.get(name)
            if size is not None:
                rows.append((cells, size))
        return rows

    def _values(self, cells: Sequence[str], columns: Iterable[int]) -> Four:
        values = [cell_number(cells[c], self.file.delimiter) or 0.0 for c in columns]
        return tuple(values)  # type: ignore[return-value]

    def _take_picture_size(self) -> None:
        """The two columns that hold the size of the picture, where there are such."""
        for side, role in ((1, "picture_width"), (0, "picture_height")):
            taken = set(self.roles.values())
            for column in self.numbers:
                equal = (
                    cell_number(cells[column], self.file.delimiter) == size[side] for cells, size in self.rows
                )
                if column not in taken and _share(equal) > 0.9:
                    self.roles[role] = column
                    break
        self.numbers = [c for c in self.numbers if c not in self.roles.values()]

    def classes(self) -> list[tuple[list[int], dict[str, int]]]:
        """The columns of a box, and the roles of all others; more than one pair where the class may be either."""
        if "class" in self.roles and len(self.numbers) == 4:
            return [(self.numbers, self.roles)]
        if "class" not in self.roles and len(self.numbers) == 5:
            return [
                ([c for c in self.numbers if c != column], {**self.roles, "class": column})
                for column in (self.numbers[-1], self.numbers[0])
            ]
        what = f"{len(self.numbers)} columns of numbers" + (
            "" if "class" in self.roles else " and none of classes"
        )
        raise self._unclear(what)

    def guesses(self, columns: list[int], roles: dict[str, int], orders: Sequence[_Order]) -> list[_Guess]:
        """Every order, with the number of rows that contradict it."""
        rows = [(self._values(cells, columns), size) for cells, size in self.rows]
        whole = all(
            (cell_number(cells[roles["class"]], self.file.delimiter) or 0.0).is_integer()
            for cells, _ in self.rows
        )
        if not whole:
            return []
        return [
            _Guess(
                {**roles, **dict(zip(order.roles, columns, strict=True))},
                order.box,
                sum(not _fits(dict(zip(order.roles, values, strict=True)), size) for values, size in rows),
            )
            for order in orders
        ]

    def _unclear(self, what: str) -> DataError:
        return DataError(
            f"{self.where}: no header, and {what}; say which column is which: add columns: "
            "{file: 1, class: 6, x1: 2, y1: 3, x2: 4, y2: 5}, with your numbers, to the source"
        )


def _fits(box: dict[str, float], size: tuple[int, int]) -> bool:
    """Whether numbers in these roles are a box inside the picture, to one pixel or one per cent."""
    height, width = size
    slack = 1.0 if height > 1 else 0.01
    if "x1" in box:
        x1, y1, x2, y2 = box["x1"], box["y1"], box["x2"], box["y2"]
    else:
        left = box["cx"] - box["w"] / 2 if "cx" in box else box["x"]
        top = box["cy"] - box["h"] / 2 if "cx" in box else box["y"]
        x1, y1, x2, y2 = left, top, left + box["w"], top + box["h"]
    return -slack <= x1 < x2 <= width + slack and -slack <= y1 < y2 <= height + slack


def _columns(roles: dict[str, int]) -> str:
    return "columns: {" + ", ".join(f"{role}: {column + 1}" for role, column in roles.items()) + "}"


def _is_split(cell: str) -> bool:
    return part_of(cell) is not None or cell.lower() == "unassigned"


def _share(found: Iterable[bool]) -> float:
    answers = list(found)
    return sum(answers) / max(1, len(answers))
