"""Columns in, one picture out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.data.records import Fault, Records, class_counts
from foveal.errors import DataError
from foveal.types import ClassNames


@pytest.fixture
def records(tmp_path: Path) -> Records:
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (8, 6), (10, 20, 30)).save(tmp_path / "sub" / "a.png")
    return Records(
        root=tmp_path,
        files=np.array(["sub/a.png", "absent.png", "absent.png"]),
        image_ids=np.array([4, 9, 11]),
        heights=np.array([6, 6, 6]),
        widths=np.array([8, 8, 8]),
        offsets=np.array([0, 2, 2, 3]),
        boxes=np.array([[0, 0, 1, 1], [1, 1, 3, 4], [2, 2, 4, 4]], dtype=np.float64),
        labels=np.array([1, 0, 1]),
        crowd=np.array([False, True, False]),
        area=np.array([1.0, 6, 4]),
        classes=ClassNames(("x", "y", "z"), (1, 2, 3)),
        faults=(Fault("crowd", "f:1", "m"), Fault("crowd", "f:2", "m"), Fault("outside", "f:3", "m")),
    )


def test_rows_of_each_picture(records: Records) -> None:
    assert len(records) == 3
    assert [records.rows(picture).boxes[:, 2].tolist() for picture in range(3)] == [[1, 3], [], [4]]
    assert records.rows(0).crowd.tolist() == [False, True]


def test_load_reads_the_pictures_file(records: Records) -> None:
    pixels = records.load(0)
    assert pixels.shape == (6, 8, 3)
    assert pixels[0, 0].tolist() == [10, 20, 30]
    with pytest.raises(DataError, match=r"absent\.png: no such picture"):
        records.load(1)


def test_counts(records: Records) -> None:
    assert records.fault_counts() == {"crowd": 2, "outside": 1}
    assert class_counts(records).tolist() == [0, 2, 0]


def test_ground_truth_is_the_same_columns(records: Records) -> None:
    truth = records.ground_truth()
    for name in truth._fields:
        assert getattr(truth, name) is getattr(records, name)
