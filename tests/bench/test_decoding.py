"""The JPEG row: both sides give the same picture, to within the rounding to bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveal.bench import decoding
from foveal.bench.case import Absent, Case, Setup
from foveal.ops.letterbox import fit_letterbox


def test_every_case_compares_pictures_that_are_equal_but_for_rounding() -> None:
    threads = torch.get_num_threads()
    lines = []
    for case in decoding.cases(Setup(quick=True)):
        assert isinstance(case, Case)
        assert torch.get_num_threads() == 1, "as in a worker"
        ours, baseline = case.ours(), case.baseline()
        assert ours.shape == baseline.shape
        assert ours.dtype == (torch.float32 if "normalisation" in case.name else torch.uint8)
        found = re.match(
            r"([\d.]+) of 255 levels at most, ([\d.]+) in the mean", case.difference(ours, baseline)
        )
        assert found is not None
        assert 0 < float(found[1]) <= 1.1
        assert 0 < float(found[2]) <= 0.4
        lines.append((case.name.split(", with")[0].split(" -> ")[1], case.baseline_name, case.target))
    assert lines == [
        ("107 x 80", "torchvision", 4.5),
        ("107 x 80", "PIL + float", 4.5),
        ("107 x 80", "PIL + float", None),
        ("48 x 32", "PIL + float", 4.5),
        ("48 x 32", "PIL + float", None),
    ]
    assert torch.get_num_threads() == threads


def test_the_photo_is_as_dense_as_cocos(tmp_path: Path) -> None:
    file = decoding.write_photo(tmp_path / "a.jpg", (480, 640))
    with Image.open(file) as photo:
        assert photo.size == (640, 480)
    assert 4.5 <= 8 * file.stat().st_size / (480 * 640) <= 5.2
    assert decoding.write_photo(tmp_path / "b.jpg", (480, 640)).read_bytes() == file.read_bytes()


def test_a_wrong_picture_is_seen() -> None:
    letterbox = fit_letterbox(20, 30, (32, 64))
    ours = torch.zeros((3, 32, 64), dtype=torch.uint8)
    assert decoding.difference(letterbox, ours, ours + 40).startswith("40.00 of 255 levels at most, 40.00")


def test_nothing_to_compare_is_an_error() -> None:
    letterbox = fit_letterbox(20, 30, (32, 64))
    with pytest.raises(ValueError, match="nothing to compare"):
        decoding.difference(letterbox, torch.zeros((3, 32, 64)), torch.zeros((3, 0, 64)))


def test_a_gpu_has_no_part_in_it() -> None:
    (line,) = decoding.cases(Setup(device="cuda"))
    assert isinstance(line, Absent)
