"""Names as labels write them, names as a disk has them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from foveal.data.inside import find_file, forms, printable, spellings

COMPOSED, TAKEN_APART = (unicodedata.normalize(form, "Caf\u00e9/a.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("a.png", "a.png"),
        ("a.PNG", "a.png"),
        ("a.png", "a.PNG"),
        ("sub/a.png", "sub\\a.png"),
        ("a.png", "C:\\data\\a.png"),
        ("a.png", "/home/x/a.png"),
        ("a.png", "//server/share/a.png"),
        ("back\\slash.png", "back\\slash.png"),
        (COMPOSED, TAKEN_APART),
        (TAKEN_APART, COMPOSED),
    ],
)
def test_a_picture_is_found_by_what_its_name_may_mean(tmp_path: Path, on_disk: str, written: str) -> None:
    path = tmp_path / on_disk
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find_file(spellings(written), os.path.realpath(tmp_path)) == on_disk


@pytest.mark.parametrize(
    "written", ["", ".", "..", "../a.png", "b.png", "x" * 300, "a\0.png", "a\ud800.png", "a"]
)
def test_anything_else_is_no_picture(tmp_path: Path, written: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.png").touch()
    (tmp_path / "b.png").touch()
    assert find_file([written], os.path.realpath(root)) is None


def test_the_name_itself_comes_first() -> None:
    for name in ("a.Png", COMPOSED, TAKEN_APART, "folder.d/name"):
        found = list(forms(name))
        assert found[0] == name
        assert len(set(found)) == len(found)


def test_printable_is_one_line_of_utf_8() -> None:
    text = "a b\n\u2028\x1b[31m\udce9 \u00fc"
    assert printable(text) == "a b\\n\\u2028\\x1b[31m\\udce9 \u00fc"
    assert printable("plain") == "plain"
