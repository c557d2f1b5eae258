"""Detections of one picture: filtering, formats, and how they look in a terminal and a notebook."""

from __future__ import annotations

import io
import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.runtime.detections import Detection, Detections
from foveal.runtime.palette import class_colour


def three(picture: np.ndarray | Image.Image | None = None) -> Detections:
    return Detections(
        torch.tensor([[10.0, 20, 40, 60], [5, 5, 15, 15], [0.5, 0.25, 100, 80]]),
        torch.tensor([0.9, 0.5, 0.25]),
        torch.tensor([1, 0, 1]),
        ("dog", "cat", "dog"),
        80,
        100,
        picture,
    )


def nothing(picture: np.ndarray | None = None) -> Detections:
    return Detections(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), (), 80, 100, picture
    )


def test_length_iteration_and_single_places() -> None:
    detections = three()
    assert len(detections) == 3
    assert list(detections)[1] == Detection((5.0, 5.0, 15.0, 15.0), 0.5, 0, "cat")
    assert detections[-1].box == (0.5, 0.25, 100.0, 80.0)
    assert [d.name for d in detections] == ["dog", "cat", "dog"]
    with pytest.raises(IndexError):
        detections[3]
    assert list(nothing()) == []
    assert not nothing()


@pytest.mark.parametrize(
    "key",
    [
        slice(0, 3, 2),
        [0, 2],
        [True, False, True],
        torch.tensor([True, False, True]),
        np.array([0, -1]),
        np.array([True, False, True]),
    ],
)
def test_slices_masks_and_places_keep_the_columns_together(key: object) -> None:
    kept = three()[key]  # type: ignore[call-overload]
    assert kept.names == ("dog", "dog")
    assert kept.scores.tolist() == pytest.approx([0.9, 0.25])
    assert kept.labels.tolist() == [1, 1]
    assert kept.boxes[1].tolist() == [0.5, 0.25, 100, 80]
    assert (kept.height, kept.width) == (80, 100)


def test_an_empty_choice_is_empty() -> None:
    for empty in (three()[[]], three()[torch.zeros(3, dtype=torch.bool)], three()[3:], nothing()[:]):
        assert len(empty) == 0
        assert empty.boxes.shape == (0, 4)


def test_above_is_strict() -> None:
    detections = three()
    assert detections.above(0.4).names == ("dog", "cat")
    assert detections.above(0.5).names == ("dog",)
    assert len(detections.above(0.9)) == 0  # strictly above
    assert detections.above({"dog": 0.5, "cat": 0.6}).scores.tolist() == pytest.approx([0.9])
    assert detections.above({"dog": 0.5}).names == ("dog", "cat")
    assert detections.above({"dog": 0.5}, default=0.7).names == ("dog",)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names"):
        Detections(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1, dtype=torch.int64), ("a", "b"), 1, 1)
    with pytest.raises(ValueError, match=r"boxes \[1, 5\]"):
        Detections(torch.zeros(1, 5), torch.zeros(1), torch.zeros(1, dtype=torch.int64), ("a",), 1, 1)


def test_to_coco_and_to_dict_are_plain_json() -> None:
    results = json.loads(json.dumps(three().to_coco("a.jpg", (18, 3))))
    assert results[0] == {
        "image_id": "a.jpg",
        "category_id": 3,
        "bbox": [10, 20, 30, 40],
        "score": pytest.approx(0.9),
    }
    assert [row["category_id"] for row in results] == [3, 18, 3]
    plain = json.loads(json.dumps(three().to_dict()))
    assert (plain["height"], plain["width"]) == (80, 100)
    assert plain["detections"][1] == {"box": [5, 5, 15, 15], "score": 0.5, "label": 0, "name": "cat"}
    assert nothing().to_coco(1, ()) == []
    assert nothing().to_dict()["detections"] == []


def test_repr_says_what_is_there() -> None:
    text = repr(three())
    assert text.splitlines()[0] == "Detections: 2 dog, 1 cat in 100 x 80 pixels"
    assert "cat  0.500      5.0      5.0     15.0     15.0" in text
    assert repr(nothing()) == "Detections: nothing in 100 x 80 pixels"
    assert "and 10 more" in repr(three()[[0] * 30])


def test_a_notebook_shows_the_picture_and_else_a_safe_table() -> None:
    picture = np.zeros((80, 100, 3), dtype=np.uint8)
    shown = three(picture)
    png = shown._repr_png_()
    assert png is not None
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(shown.draw()))
    assert shown._repr_html_() is None
    large = Detections(*(getattr(three(), name) for name in ("boxes", "scores", "labels", "names")), 80, 4000)
    large = replace(large, picture=np.zeros((80, 4000, 3), dtype=np.uint8))
    png = large._repr_png_()
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == (1600, 32)
    assert three()._repr_png_() is None
    hostile = Detections(
        torch.ones(1, 4), torch.ones(1), torch.zeros(1, dtype=torch.int64), ("<script>",), 80, 100
    )
    table = hostile._repr_html_()
    assert table is not None
    assert "<script>" not in table
    assert table.count("&lt;script&gt;") == 2


def test_draw_colours_by_class_whatever_else_is_there() -> None:
    picture = Image.new("RGB", (100, 80))
    for drawn in (three(picture).draw(), three().draw(picture), three(picture)[[0]].draw()):
        assert drawn.getpixel((10, 40)) == class_colour(1)
    assert picture.getbbox() is None
    with pytest.raises(ValueError, match="without their picture"):
        three().draw()
    with pytest.raises(ValueError, match="99 x 80 pixels, not 100 x 80"):
        three().draw(Image.new("RGB", (99, 80)))


@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        getattr(three(), f"to_{package}")()


def test_columns_handed_to_pandas_and_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stand-ins that keep what they are given: the packages themselves are optional.
    frames = types.SimpleNamespace(DataFrame=lambda rows, columns: (rows, columns))
    monkeypatch.setitem(sys.modules, "pandas", frames)
    rows, columns = three().to_pandas()
    assert dict(zip(columns, rows[1], strict=True)) == {
        **{"name": "cat", "score": 0.5, "label": 0},
        **{"x1": 5.0, "y1": 5.0, "x2": 15.0, "y2": 15.0},
    }
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=lambda **kept: kept))
    kept = three().to_supervision()
    assert kept["xyxy"].shape == (3, 4)
    assert kept["class_id"].tolist() == [1, 0, 1]
    assert kept["data"]["class_name"].tolist() == ["dog", "cat", "dog"]
