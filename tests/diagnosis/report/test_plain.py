"""No folder of the machine and no mark that turns text reaches the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveal.diagnosis.report.plain import clean, short_path, without_folders


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/home/someone/data/set/train.json", "…/set/train.json"),
        ("/Users/someone/x.json", "…/x.json"),
        ("C:\\Users\\someone\\data\\x.json", "…/data/x.json"),
        ("~/data/x.json", "…/data/x.json"),
        ("~someone/x.json", "…/x.json"),
        ("/home/someone", "…"),
        ("relative/x.json", "relative/x.json"),
        ("rgb", "rgb"),
    ],
)
def test_short_path(path: str, short: str) -> None:
    assert short_path(path) == short


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/home/someone/a/b.xml:12: box is empty", "…/a/b.xml:12: box is empty"),
        ("see '/srv/data/x/y.png'", "see '…/x/y.png'"),
        ("AP/AR and 1/2 of 3 / 4", "AP/AR and 1/2 of 3 / 4"),
        ("read C:\\Users\\someone\\a\\b.txt now", "read …/a/b.txt now"),
        ("https://example.org/a/b", "https://example.org/a/b"),
    ],
)
def test_paths_in_sentences(text: str, plain: str) -> None:
    assert without_folders(text) == plain


def test_known_folders_with_blanks_are_found_whole() -> None:
    text = "/home/some one/my data/a.xml: empty"
    assert without_folders(text, ["/home/some one/my data"]) == "…/my data/a.xml: empty"
    assert str(Path.home()) not in without_folders(f"{Path.home()}/x y/z.png is gone")


def test_clean_goes_into_everything_and_keeps_emoji() -> None:
    assert clean({"a\x07": ["\u2067x", 1, None, "👩\u200d🚀"]}) == {
        "a\ufffd": ["\ufffdx", 1, None, "👩\u200d🚀"]
    }
