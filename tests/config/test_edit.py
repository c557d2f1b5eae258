"""Changing values in a YAML text without touching the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foveal.config.document import Origin
from foveal.config.edit import edit_values
from foveal.config.yaml_text import parse
from foveal.errors import UsageError

SIZES = [[8.0, 9.5], [16, 19]]
HEAD = ("model", "architecture", "head", "params")


def read(text: str) -> Any:
    return parse(text, Origin("x.yaml", Path())).value


def edited(text: str, changes: dict[tuple[str, ...], Any]) -> str:
    return edit_values(text, changes, "x.yaml")


LAYOUTS = {
    "flow": (
        "model: {architecture: {head: {params: "
        "{anchor_sizes: [[32, 40], [64, 80]], num_layers: 4}}}}  # one line\n"
    ),
    "flow over lines": (
        "model:\n  architecture:\n    head:\n      params: {\n        num_layers: 4,   # deep\n"
        "        anchor_sizes: [[32, 40],   # P3\n                       [64, 80]],  # P4\n"
        "        norm_type: group_norm}\n"
    ),
    "block": (
        "# first\nmodel:\n  architecture:\n    head:\n      params:\n        # why these\n"
        "        anchor_sizes:  # sizes\n"
        "          - [32, 40]  # P3\n          - [64, 80]  # P4\n        num_layers: 4 # behind\n# last\n"
    ),
    "block of blocks": (
        "model:\n  architecture:\n    head:\n      params:\n        anchor_sizes:\n"
        "        - - 32\n          - 40  # big\n"
        "        - - 64\n          - 80\n        num_layers: 4\ntraining: {epochs: 3}  # short\n"
    ),
    "wide indent": (
        "model:\n    architecture:\n        head:\n            params:\n"
        "                num_layers: 4\n\n\ntraining:\n    epochs: 3\n"
    ),
    "missing params": (
        "model:\n  architecture:\n    head: {name: anchor_decoupled_head}  # ours\n    neck:\n"
        "      params: {min_level: 3}\n"
    ),
    "missing model": "data:\n  image_size: [512, 512]  # square\n# the end",
    "empty flow": "model: {}\ndata: {image_size: [320, 320]}\n",
    "empty section": "model:\n  architecture:\n    head:\n      params:\n  losses: {box: {name: giou}}\n",
    "preset": "model: {preset: paper}  # as in the paper\n",
    "quoted": (
        "'model':\n  \"architecture\":\n"
        "    head: {'params': {'anchor_sizes': [[1, 2]], \"norm_type\": 'none'}}\n"
    ),
    "alias of the value": (
        "x: &sizes [[32, 40], [64, 80]]\n"
        "model: {architecture: {head: {params: {anchor_sizes: *sizes}}}}\n"
    ),
    "value over lines": (
        "model:\n  architecture:\n    head:\n      params:\n        anchor_sizes:\n"
        "          [[32, 40],\n          [64, 80], [1, 2]]\n        num_layers: 4\n"
    ),
    "literal text last": (
        "model:\n  architecture:\n    head:\n      params:\n        note: |\n          two\n"
        "          lines\n# behind\n"
    ),
    "windows": (
        "model:\r\n  architecture:\r\n    head:\r\n      params:\r\n"
        "        num_layers: 4  # four\r\n"
    ),
    "document marks": "---\n# top\nmodel:\n  preset: paper\n...\n",
    "hash in text": "data: {root: 'a # b', classes: ['#1', \"x # y\"]}  # c\nmodel: {preset: paper}\n",
}  # fmt: skip


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_values_and_nothing_else_change(layout: str) -> None:
    text = LAYOUTS[layout]
    changes = {
        (*HEAD, "anchor_sizes"): SIZES,
        (*HEAD, "aspect_ratios"): [1.0, 1.76],
        ("model", "architecture", "neck", "params", "min_level"): 2,
        ("data", "image_size"): [640, 480],
    }
    new = edited(text, changes)
    wanted = read(text)
    for key, value in changes.items():
        inner = wanted
        for step in key[:-1]:
            inner[step] = inner.get(step) or {}
            inner = inner[step]
        inner[key[-1]] = value
    assert read(new) == wanted
    assert edited(new, changes) == new, "again: nothing to change"


MARKS = (
    *(
        "# one line",
        "# deep",
        "# P3",
        "# P4",
        "# first",
        "# why these",
        "# sizes",
        "# behind",
        "# last",
        "# big",
    ),
    *("# short", "# ours", "# square", "# the end", "# as in the paper", "# four", "# c\n"),
)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_comments_stay_and_in_order(layout: str) -> None:
    text = LAYOUTS[layout]
    new = edited(text, {(*HEAD, "anchor_sizes"): SIZES, ("data", "image_size"): [640, 480]})
    for mark in MARKS:
        assert new.count(mark) == text.count(mark), mark
    if layout == "block":
        assert "          - [8.0, 9.5]  # P3\n          - [16, 19]  # P4\n" in new


def test_line_by_line_only_what_changes() -> None:
    text = LAYOUTS["flow over lines"]
    new = edited(text, {(*HEAD, "anchor_sizes"): SIZES}).splitlines()
    old = text.splitlines()
    assert [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b] == [5, 6]


def test_comments_of_a_list_that_grows_move_above_it() -> None:
    new = edited(LAYOUTS["block"], {(*HEAD, "anchor_sizes"): [[8], [16], [32]]})
    assert read(new)["model"]["architecture"]["head"]["params"]["anchor_sizes"] == [[8], [16], [32]]
    assert new.index("# P3") < new.index("# P4") < new.index("[8]")


def test_windows_line_ends_stay() -> None:
    new = edited(LAYOUTS["windows"], {(*HEAD, "anchor_sizes"): SIZES})
    assert new.count("\n") == new.count("\r\n")


def test_an_empty_text_becomes_the_changes() -> None:
    assert read(edited("# nothing yet\n", {("a", "b"): 1})) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "x: &head {params: {num_layers: 4}}\nmodel: {architecture: {head: *head}}\n",  # shared by another key
        "x: &s [[1]]\nmodel: {architecture: {head: {params: {anchor_sizes: &t [[2]]}}}}\ny: *t\n",  # others use it
        "b: &b {architecture: {head: {params: {num_layers: 4}}}}\nmodel:\n  <<: *b\n",  # comes from a merge
    ],
)
def test_what_is_shared_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"x\.yaml"):
        edited(text, {(*HEAD, "anchor_sizes"): SIZES})


def test_a_text_that_a_change_would_break_is_refused() -> None:
    with pytest.raises(UsageError, match=r"x\.yaml: cannot be changed as text at a\.b"):
        edited("---", {("a", "b"): 1})


def test_text_null_and_numbers() -> None:
    new = edited("a: 1\n", {("a",): "yes", ("b",): None, ("c",): 1e-7, ("d",): [True, "x: y", "#z"]})
    assert read(new) == {"a": "yes", "b": None, "c": 1e-7, "d": [True, "x: y", "#z"]}
