"""What a run is told before its first step."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal.data.records import Fault, Records
from foveal.diagnosis.preflight.at_start import shared_pictures, start_findings
from foveal.types import ClassNames


def part(folder: Path, files: dict[str, bytes], labels: list[int]) -> Records:
    """A part of files that are no pictures, as nothing here decodes one; a box each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    number = len(files)
    return Records(
        root=folder,
        files=np.array(list(files)),
        image_ids=np.arange(number),
        heights=np.full(number, 9),
        widths=np.full(number, 9),
        offsets=np.arange(number + 1),
        boxes=np.tile([1.0, 1, 5, 5], (number, 1)),
        labels=np.array(labels[:number]),
        crowd=np.zeros(number, dtype=bool),
        area=np.full(number, 16.0),
        classes=ClassNames(("cat", "dog", "cow"), (1, 2, 3)),
    )


def content(seed: int, size: int = 30_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def test_parts_that_are_well_are_left_alone(tmp_path: Path) -> None:
    train = part(tmp_path / "a", {f"{i}.jpg": content(i) for i in range(6)}, [0, 1, 2] * 2)
    val = part(tmp_path / "b", {f"{i}.jpg": content(10 + i) for i in range(3)}, [0, 1, 2])
    assert start_findings(train, val) == []
    assert start_findings(train, None) == []


def test_a_class_without_a_box_is_named_the_measured_one_first(tmp_path: Path) -> None:
    train = part(tmp_path / "a", {"1.jpg": content(1), "2.jpg": content(2)}, [0, 0])
    val = part(tmp_path / "b", {"1.jpg": content(3)}, [2])
    found = start_findings(train, val)
    assert [one.rule for one in found] == ["class_not_trained"]
    assert found[0].message == "no box in data.train of 'cow', 'dog', and 1 box in data.val: their AP is 0"
    assert start_findings(train, None)[0].message == "no box in data.train of 'dog', 'cow'"


def test_boxes_of_classes_that_training_does_not_have(tmp_path: Path) -> None:
    train = part(tmp_path / "a", {f"{i}.jpg": content(i) for i in range(3)}, [0, 1, 2])
    val = part(tmp_path / "b", {"1.jpg": content(9)}, [0])
    val = replace(val, faults=(Fault("unknown_class", "x", "y"),) * 2)
    assert "2 boxes of data.val are of classes that" in start_findings(train, val)[0].message
    assert start_findings(train, val, classes_chosen=True) == [], "left out on purpose"


@pytest.mark.parametrize("how", ["same path", "hard link", "symbolic link", "same bytes"])
def test_pictures_in_both_parts(tmp_path: Path, how: str) -> None:
    train = part(tmp_path / "a", {f"{i}.jpg": content(i) for i in range(4)}, [0, 1, 2, 0])
    own = {"x.jpg": content(77), "z.jpg": content(0)[:-1] + b"?"}
    val = part(tmp_path / "b", {**own, "y.jpg": content(2)}, [0, 1, 2])
    target, copy = tmp_path / "a" / "2.jpg", tmp_path / "b" / "y.jpg"
    if how != "same bytes":
        copy.unlink()
    if how == "same path":
        val = replace(val, files=np.array(["x.jpg", "z.jpg", "../a/2.jpg"]))
    elif how == "hard link":
        os.link(target, copy)
    elif how == "symbolic link":
        copy.symlink_to(target)
    found = shared_pictures(train, val)
    assert found is not None
    assert found.number == 1
    assert found.first[0] == target
    message = start_findings(train, val)[0].message
    assert message.startswith("1 of the 3 pictures of data.val is trained on, too")


def test_few_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = part(tmp_path / "a", {f"{i}.jpg": content(i, 20_000 + i) for i in range(9)}, [0, 1, 2] * 3)
    val = part(tmp_path / "b", {f"{i}.jpg": content(50 + i, 30_000 + i) for i in range(9)}, [0] * 9)
    opened: list[Path] = []
    plain = Path.open

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path)
        return plain(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    assert shared_pictures(train, val) is None
    assert opened == [], "no two files are of one size"
    (tmp_path / "b" / "3.jpg").write_bytes(content(99, 20_005))
    opened.clear()
    assert shared_pictures(train, val) is None
    assert sorted(path.name for path in opened) == ["3.jpg", "5.jpg"]


def test_files_that_are_not_there_or_empty_are_no_twins(tmp_path: Path) -> None:
    train = part(tmp_path / "a", {"1.jpg": b"", "2.jpg": content(1)}, [0, 1])
    val = part(tmp_path / "b", {"1.jpg": b"", "2.jpg": content(2)}, [0, 1])
    (tmp_path / "a" / "2.jpg").unlink()
    assert shared_pictures(train, val) is None
