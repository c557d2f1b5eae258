"""What stands in a cell comes back, and no spreadsheet runs it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.data.csv_cell import FORMULA, cell, text_of


@given(st.text(alphabet="'=+-@\uff1dab\\\\ ", max_size=6))
def test_text_comes_back(text: str) -> None:
    assert text_of(cell(text)) == text
    assert not cell(text).startswith(FORMULA)


@pytest.mark.parametrize("sign", FORMULA)
def test_every_sign_is_quoted_and_comes_back(sign: str) -> None:
    assert cell(f"{sign}1").startswith("'")
    assert cell(f"{sign}1").isprintable()
    assert text_of(cell(f"{sign}1")) == f"{sign}1"


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_cell_is_one_printable_line(one: str, other: str) -> None:
    assert cell(one).isprintable()
    if one.isprintable() and other.isprintable() and one != other:
        assert cell(one) != cell(other)
