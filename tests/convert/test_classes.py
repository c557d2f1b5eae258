"""Which names and ids the rows of a foreign class layer get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights

from foveal.convert.classes import name_classes
from foveal.convert.coco_names import COCO, COCO_ROWS
from foveal.errors import UsageError


def test_the_names_are_cocos() -> None:
    """torchvision publishes the list that its weights were trained with."""
    published = RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert len(published) == COCO_ROWS
    assert {row: name for row, name in enumerate(published) if name not in ("__background__", "N/A")} == COCO


def test_80_and_91_rows_are_cocos() -> None:
    eighty = name_classes(80, {})
    assert eighty.rows == tuple(range(80))
    assert eighty.classes.names[79] == "toothbrush"
    assert eighty.classes.ids[:12] == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13)
    ninety = name_classes(91, {}, background=True)
    assert ninety.classes == eighty.classes
    assert ninety.rows == eighty.classes.ids
    assert "11 of 91 rows" in ninety.notes[1]
    assert "dropped: 0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83" in ninety.notes[1]
    # Elsewhere 91 classes are 91 classes.
    assert len(name_classes(91, {}).rows) == 91


def test_unnamed_rows_can_be_kept() -> None:
    kept = name_classes(91, {}, background=True, keep_unnamed=True)
    assert kept.rows == kept.classes.ids == tuple(range(91))
    assert kept.classes.names[:2] == ("__background__", "person")
    assert kept.classes.names[12] == "N/A 12"
    assert len(set(kept.classes.names)) == 91


@pytest.mark.parametrize(
    "facts",
    [
        {"meta": {"CLASSES": ("cup", "fork")}},
        {"meta": {"dataset_meta": {"CLASSES": ("cup", "fork")}}},
        {"meta": {"dataset_meta": {"classes": ["cup", "fork"]}}},
        {"class_names": ["cup", "fork"]},
    ],
)
def test_names_beside_the_weights(facts: dict[str, object]) -> None:
    assert name_classes(2, facts).classes == (("cup", "fork"), (0, 1))


@pytest.mark.parametrize(
    "facts", [{}, {"classes": 2}, {"meta": {"CLASSES": ("one",)}}, {"classes": ["a", "a"]}]
)
def test_without_names(facts: dict[str, object]) -> None:
    naming = name_classes(2, facts)
    assert naming.classes == (("class_0", "class_1"), (0, 1))
    assert "--classes FILE" in naming.notes[0]


def test_a_text_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cup\n\nfork \n", encoding="utf-8-sig")
    assert name_classes(2, {"classes": ["a", "b"]}, tmp_path / "names.txt").classes == (
        ("cup", "fork"),
        (0, 1),
    )
    # torchvision's users leave row 0 for background.
    shifted = name_classes(3, {}, tmp_path / "names.txt", background=True)
    assert shifted.rows == (1, 2)
    assert shifted.classes == (("cup", "fork"), (1, 2))
    with pytest.raises(UsageError, match="2 names for 3 classes in the weights"):
        name_classes(3, {}, tmp_path / "names.txt")


def test_categories_of_a_coco_file(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "fork"}, {"id": 3, "name": "cup"}]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    assert name_classes(2, {}, path).classes == (("cup", "fork"), (3, 7))
    by_row = name_classes(8, {}, path, background=True)
    assert by_row.rows == by_row.classes.ids == (3, 7)
    assert by_row.classes.names == ("cup", "fork")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "cup\ncup\n", "'cup' stands there twice"),
        ("a.txt", "\n", "holds no names"),
        (
            "a.json",
            '{"images": [], "annotations": [], "categories": [{"name": "cup"}]}',
            "no id and name of its own",
        ),
        ("absent.txt", None, "cannot be read"),
    ],
)
def test_bad_names(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        name_classes(2, {}, tmp_path / name)
