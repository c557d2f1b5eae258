"""What --data may be: a configuration, or labels in any format."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foveal.data.records import Records
from foveal.runtime.validation_set import validation_set
from foveal.types import ClassNames


def _measured(data: Path, *names: str) -> Records:
    header: Any = SimpleNamespace(classes=ClassNames(names, tuple(range(len(names)))))
    return validation_set(header, Path("model.safetensors"), data)


@pytest.mark.parametrize(
    ("data", "names", "pictures", "boxes"),
    [
        ("road_signs_yolo", ("red_light", "green_light"), 128, 35 + 47),
        ("road_signs_yolo/data.yaml", ("red_light", "green_light"), 128, 35 + 47),
        ("road_signs_yolo/test", ("parking",), 128, 71),
        ("bccd_voc", ("RBC", "WBC", "Platelets"), 87, 1137),
        ("playing_cards_voc_csv", ("king",), 67, 23),
        ("playing_cards_voc_csv/images/test_labels.csv", ("king",), 67, 23),
        ("chess_coco", ("black-king",), 58, 29),
        ("chess_coco/test/_annotations.coco.json", ("black-king",), 29, 17),
    ],
)
def test_labels_of_every_format(
    shared: Path, data: str, names: tuple[str, ...], pictures: int, boxes: int
) -> None:
    records = _measured(shared / "data" / data, *names)
    assert records.classes.names == names
    assert (len(records), len(records.boxes)) == (pictures, boxes)


def test_a_configuration_is_no_data_yaml(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "road_signs_yolo"
    config = tmp_path / "config.yaml"
    source = f"{{format: yolo, annotations: {folder / 'data.yaml'}, part: test}}"
    config.write_text(f"data: {{train: {source}}}\n")
    assert len(_measured(config, "bus_stop").boxes) == 54
