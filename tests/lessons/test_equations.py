"""The table of equations: every line it quotes is a line of the function that it names."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

LESSONS = Path(__file__).resolve().parents[2] / "docs" / "lessons"
PAGE = (LESSONS / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (?P<paper>[^|]+) \| .*\| `(?P<line>[^|]+)` \| \[`(?P<name>[\w.]+)`\]\((?P<file>[^)]+)\) \|$", re.M
)


class Row(NamedTuple):
    """One equation of the table."""

    paper: str
    line: str
    name: str
    file: str


ROWS = [Row(**match.groupdict()) for match in ROW.finditer(PAGE)]


def resolve(name: str) -> object:
    """The object of a dotted name. ModuleNotFoundError or AttributeError where there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.paper}-{row.name.rsplit('.', 1)[-1]}")
def test_the_line_is_in_the_function(row: Row) -> None:
    function = resolve(row.name)
    assert callable(function)
    source = inspect.getsourcefile(function)
    assert source is not None
    assert (LESSONS / row.file).resolve() == Path(source).resolve()
    lines = [line.strip() for line in inspect.getsource(function).splitlines()]
    assert row.line in lines, f"{row.name} has no such line; its equation may have moved: mend the table"


def test_the_table_is_whole() -> None:
    """Each equation of sections 3 and 4 is there, and no row escapes the test above by its form."""
    table = [line for line in PAGE.split("## Every equation")[1].splitlines() if line.startswith("| ")]
    rows = [line for line in table if not line.startswith("| paper") and "not in Foveal" not in line]
    assert len(rows) == len(ROWS) >= 25
    papers = " ".join(row.paper for row in ROWS)
    for place in (
        "eq. 1",
        "eq. 2",
        "eq. 3",
        "eq. 4, 5",
        "section 3.3",
        "section 4 ",
        "inference",
        "table 1d",
    ):
        assert place in papers + " "


def test_every_lesson_is_listed_and_every_link_leads_somewhere() -> None:
    for script in sorted(LESSONS.glob("[0-9]*.py")):
        assert f"]({script.name})" in PAGE
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE):
        assert (LESSONS / link).is_file(), link
