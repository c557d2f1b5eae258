"""Lines and numbers of label files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foveal.data.lists import lines_of, number, read_content, read_lines
from foveal.errors import DataError


def test_lines_are_those_of_an_editor() -> None:
    assert lines_of("a\nb\r\nc\rd") == ["a", "b", "c", "d"]
    # Signs at which Python parts lines, too, but which a name may hold.
    assert lines_of("a\x0b\x0c\x1c\x85\u2028z") == ["a\x0b\x0c\x1c\x85\u2028z"]


def test_a_list_keeps_what_a_name_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa\u2028b.png\r\n\r\n c d.png \n".encode())
    assert read_lines(path) == [("a\u2028b.png", f"{path}:1"), ("c d.png", f"{path}:3")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e3", 1000.0), (" 1.50 ", 1.5), ("-0", 0.0), ("1_0", None), ("1,5", None), ("", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


def test_a_pipe_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no regular file"):
        read_content(tmp_path / "pipe", "file")
    (tmp_path / "large").write_bytes(b"12345")
    assert read_content(tmp_path / "large", "file", 5) == b"12345"
    with pytest.raises(DataError, match="over the limit of 4 bytes for a file"):
        read_content(tmp_path / "large", "file", 4)
