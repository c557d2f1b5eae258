"""What grows does what it says at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveal.bench.growth_subjects import PICTURE_COUNTS, subjects


def test_ranges_are_those_of_the_task(tmp_path: Path) -> None:
    ends: dict[str, set[tuple[int, int]]] = {}
    for subject in subjects(tmp_path):
        assert list(subject.sizes) == sorted(set(subject.sizes))
        ends.setdefault(subject.axis, set()).add((subject.sizes[0], subject.sizes[-1]))
    assert ends == {
        "picture area, pixels": {(64**2, 1600**2)},
        "boxes in a picture": {(1, 2000)},
        "classes": {(1, 1203)},
        "pictures in the data set": {(100, 1_000_000)},
    }


def test_quick_takes_the_small_sizes(tmp_path: Path) -> None:
    for quick, whole in zip(subjects(tmp_path, quick=True), subjects(tmp_path), strict=True):
        assert quick.sizes == whole.sizes[:3]


@pytest.mark.parametrize(
    ("name", "size"),
    [("prediction", 64 * 64), ("matching by IoU", 4), ("matching by ATSS", 4), ("focal loss", 3)]
    + [("postprocess", 3), ("an epoch's order", 100), ("evaluation", 100)],
)
def test_the_work_can_be_done_again_and_again(tmp_path: Path, name: str, size: int) -> None:
    (subject,) = (one for one in subjects(tmp_path) if one.name.startswith(name))
    work = subject.prepare(size)
    first, second = work(), work()
    assert first is not None
    assert type(first) is type(second)


def test_the_files_that_are_read_are_pictures_with_boxes(tmp_path: Path) -> None:
    (subject,) = (one for one in subjects(tmp_path) if one.name.startswith("reading"))
    records = subject.prepare(PICTURE_COUNTS[0])()
    assert len(records) == PICTURE_COUNTS[0]
    assert len(records.boxes) > 3 * PICTURE_COUNTS[0]
    assert set(records.fault_counts()) <= {"empty_labels"}
    assert records.load(7).shape == (48, 64, 3)
