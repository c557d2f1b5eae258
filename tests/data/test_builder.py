"""The checks that every reader shares, at their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveal.data.builder import UNKNOWN, RecordsBuilder
from foveal.errors import DataError
from foveal.types import ClassNames

HEIGHT, WIDTH = 30, 50
ONE = ClassNames(("thing",), (1,))


@pytest.fixture
def builder(tmp_path: Path) -> RecordsBuilder:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    return RecordsBuilder(tmp_path, tmp_path / "labels")


def test_area_is_the_files_where_it_is_a_number(builder: RecordsBuilder) -> None:
    builder.add_picture("a.png", "here", 1, None)
    for area in (None, 12.5, 0.0, float("nan"), -1.0):
        builder.add_box((-5.0, 0.0, 10.0, 10.0), 0, "here", area=area)
    assert builder.build(ONE, [0]).area.tolist() == [100, 12.5, 0, 100, 100]


def test_dropping_a_label_keeps_the_pictures_apart(builder: RecordsBuilder) -> None:
    builder.add_picture("a.png", "here", 1, None)
    for label in (1, 0, 1):
        builder.add_box((1.0, 1.0, 5.0 + label, 5.0), label, "here")
    builder.add_picture("b.png", "here", 2, None)
    builder.add_box((1.0, 1.0, 5.0, 5.0), 1, "here")
    builder.add_box((1.0, 1.0, 9.0, 9.0), 0, "here", crowd=True)
    records = builder.build(ONE, [0, UNKNOWN])
    assert records.offsets.tolist() == [0, 1, 2]
    assert records.boxes[:, 2].tolist() == [5, 9]
    assert records.fault_counts() == {"crowd": 1, "unknown_class": 3, "only_crowd": 1}
    assert [fault.where.rsplit(" ")[-1] for fault in records.faults if fault.kind == "unknown_class"] == [
        "a.png",
        "a.png",
        "b.png",
    ]


def test_a_fault_is_one_line(builder: RecordsBuilder) -> None:
    builder.fault("bad_number", "here", "first\nsecond\tthird")
    builder.add_picture("a.png", "here", 1, None)
    assert builder.build(ONE, [0]).faults[0].message == "first second third"


def test_strict_names_the_number_and_the_first(tmp_path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"")
    builder = RecordsBuilder(tmp_path, tmp_path / "labels", strict=True)
    assert builder.add_picture("a.png", "entry 1", 1, None)
    assert not builder.add_picture("bad.png", "entry 2", 2, None)
    assert builder.locate(["absent.png"], "entry 3") is None
    with pytest.raises(DataError, match=r"2 cannot be read; first: entry 2: .*bad\.png"):
        builder.build(ONE, [0])


def test_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    builder = RecordsBuilder(tmp_path / "link", tmp_path)
    assert builder.locate(["a.png"], "here") == "a.png"
    assert builder.locate(["../real/a.png"], "here") == "a.png"
    assert builder.locate(["../link2/a.png"], "here") is None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corners=st.tuples(*[st.floats(width=32) | st.floats(-10, 60)] * 4))
def test_a_kept_box_is_the_part_inside(builder: RecordsBuilder, corners: tuple[float, ...]) -> None:
    """Every box is either kept as its part inside the picture, or counted once under the right kind."""
    builder = RecordsBuilder(builder.root, builder.source)
    builder.add_picture("a.png", "here", 1, None)
    builder.add_box(corners, 0, "here")
    records = builder.build(ONE, [0])
    low = np.clip(corners, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    inside = bool(low[2] > low[0] and low[3] > low[1])
    if not np.isfinite(corners).all():
        expected = {"bad_number": 1}
    elif corners[2] <= corners[0] or corners[3] <= corners[1]:
        expected = {"zero_size": 1}
    elif not inside:
        expected = {"outside": 1}
    else:
        np.testing.assert_array_equal(records.boxes, [low])
        expected = {"clipped": 1} if np.abs(low - corners).max() > 0.05 else {}
    assert records.fault_counts() == expected
    assert len(records.boxes) == int(expected in ({}, {"clipped": 1}))
