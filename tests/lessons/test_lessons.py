"""Every lesson, as a person starts it: it ends well, and its pictures show something."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.data.shapes import make_shapes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "lessons"
LESSONS = {script.stem: script for script in sorted(FOLDER.glob("[0-9]*.py"))}
LONGEST = 150


class Ended(NamedTuple):
    """How a script ended."""

    code: object
    """0, or what it gave to ``sys.exit``."""
    out: str
    err: str


Start = Callable[..., Ended]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Start]:
    """Runs a lesson as ``python docs/lessons/NN_name.py words`` does; here, so that torch is imported once."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    monkeypatch.syspath_prepend(str(FOLDER))

    def run(name: str, *words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", [str(LESSONS[name]), *map(str, words)])
        code: object = 0
        try:
            runpy.run_path(str(LESSONS[name]), run_name="__main__")
        except SystemExit as error:
            code = error.code
        return Ended(code, *capsys.readouterr())

    yield run
    torch.set_num_threads(threads)
    torch.set_rng_state(state)
    sys.modules.pop("lesson", None)


def is_blank(picture: Path) -> bool:
    """Whether less than one pixel in twenty differs from the paper, or all of them are of a few shades."""
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    drawn = pixels[(pixels != pixels[0]).any(axis=1)]
    return len(drawn) < len(pixels) / 20 or len(np.unique(drawn, axis=0)) < 50


def check_pictures(found: Ended, folder: Path) -> None:
    """The pictures that a run says it wrote are all that are there, and each of them is drawn upon."""
    assert found.code == 0
    pictures = [Path(line) for line in re.findall(r"^picture: (.+)$", found.out, re.MULTILINE)]
    assert sorted(pictures) == sorted(folder.iterdir())
    assert pictures
    for picture in pictures:
        assert not is_blank(picture), picture


def test_a_blank_picture_is_told_from_a_drawn_one(tmp_path: Path) -> None:
    paper = Image.new("RGB", (80, 60), "white")
    paper.save(tmp_path / "blank.png")
    paper.paste((200, 0, 0), (0, 0, 40, 60))
    paper.save(tmp_path / "one_shade.png")
    assert is_blank(tmp_path / "blank.png")
    assert is_blank(tmp_path / "one_shade.png")


def test_there_are_seven_short_ones_of_prose_and_code() -> None:
    assert [name[:2] for name in LESSONS] == [f"0{number}" for number in range(1, 8)]
    for script in LESSONS.values():
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST, script.name
        assert text.startswith("# %% [markdown]\n# # "), "cells that a notebook opens, a title first"
        assert f"python docs/lessons/{script.name}" in text


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_and_draws(name: str, start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    check_pictures(start(name, "--output", folder), folder)


def test_a_lesson_runs_from_anywhere_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, str(LESSONS["02_the_focal_curve"]), "--output", "out"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=250
    )
    assert found.returncode == 0, found.stderr
    assert not is_blank(tmp_path / "out" / "focal_curve.png")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of 200 x 150 pixels, as a file."""
    path = tmp_path / "mine.png"
    Image.fromarray(make_shapes(1, size=200, seed=2, empty_share=0).load(0)[:150]).save(path)
    return path


def test_a_picture_of_ones_own_and_nothing_written_over(start: Start, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "assignment.png").write_bytes(b"kept")
    found = start("05_which_anchor_matches", photo, "--box", 20, 30, 90, 120, "--output", folder)
    assert found.code == 0
    assert (folder / "assignment.png").read_bytes() == b"kept"
    assert not is_blank(folder / "assignment-2.png")
    assert " 179 x 230 " in found.out, "the box of 70 x 90 pixels on a canvas of 512 x 384"


@pytest.mark.parametrize("name", ["01_why_imbalance_hurts", "04_anchors_on_your_picture"])
def test_a_picture_without_a_box(name: str, start: Start, photo: Path, tmp_path: Path) -> None:
    check_pictures(start(name, photo, "--output", tmp_path / "out"), tmp_path / "out")


def test_a_model_of_ones_own(start: Start, photo: Path, trained: Any, tmp_path: Path) -> None:
    found = start("06_decode_and_nms", photo, "--checkpoint", trained.best, "--output", tmp_path / "out")
    check_pictures(found, tmp_path / "out")
    assert "candidates -> " in found.out


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("05_which_anchor_matches", "mine.png", "--box X1 Y1 X2 Y2"),
        ("04_anchors_on_your_picture", "no.jpg", "no.jpg"),
        ("06_decode_and_nms", "mine.png", "--checkpoint"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    name: str, given: str, says: str, start: Start, photo: Path, tmp_path: Path
) -> None:
    found = start(name, photo.parent / given, "--output", tmp_path / "out")
    assert found.code not in (0, None)
    assert says in f"{found.code} {found.err}"
    assert not (tmp_path / "out").exists()
