"""foveal config schema and show."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from foveal.errors import UsageError
from foveal.verbs.config import schema, show

HEAD = """\
model:
  architecture:
    backbone: {name: mobilenetv2_100}
    neck: {params: {out_channels: 32}}
    head:
      name: retinanet_head
      params:
        anchor_sizes: [[32,], [64,], [128,], [256,]]
        num_layers: 1
        norm_layer: batch_norm
        nms_thresh: 0.45
"""


@pytest.fixture
def head(tmp_path: Path) -> Path:
    path = tmp_path / "head.yaml"
    path.write_text(HEAD)
    return path


def printed(path: Path, classes: int | None = None, *overrides: str) -> str:
    stream = StringIO()
    show(path, classes, overrides, Console(file=stream, width=120, highlight=False))
    return stream.getvalue()


def test_schema_is_what_an_editor_reads() -> None:
    body = json.loads(schema())
    assert body["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(body["properties"]) == ["data", "model", "training", "export"]
    head = body["$defs"]["HeadParams"]["properties"]
    assert head["aspect_ratios"]["description"] == "height / width"
    assert body["$defs"]["IouAssigner"]["additionalProperties"] is False


def test_a_head_alone_builds_p3_to_p6_without_weights(head: Path) -> None:
    text = printed(head, 7)
    rows = [line.replace("│", " ").split() for line in text.splitlines() if line.startswith("│ P")]
    assert [row[:2] for row in rows] == [["P3", "8"], ["P4", "16"], ["P5", "32"], ["P6", "64"]]
    assert [row[3] for row in rows] == ["3"] * 4
    assert [row[4] for row in rows] == ["32", "64", "128", "256"]
    assert [row[-2:] for row in rows] == [["21", "12"]] * 4
    assert "7 classes (as asked)" in text
    assert "backbone weights: mobilenetv2_100 of timm" in text


def test_octave_scales_multiply_the_sizes(head: Path) -> None:
    text = printed(head, 1, "model.architecture.head.params.octave_scales=[1, 1.25, 1.5]")
    rows = [line.replace("│", " ").split() for line in text.splitlines() if line.startswith("│ P")]
    assert [row[3] for row in rows] == ["9"] * 4
    assert [row[4:7] for row in rows] == [
        [low, "-", high]
        for low, high in zip(("32", "64", "128", "256"), ("48", "96", "192", "384"), strict=True)
    ]


def test_what_is_printed_is_the_built_model(head: Path) -> None:
    detector = show(head, 7, (), Console(file=StringIO()))
    assert detector.strides == (8, 16, 32, 64)
    assert detector.head.cls_channels == 21
    assert sum(p.numel() for p in detector.neck.parameters()) > 0


def test_the_yaml_part_loads_and_names_what_was_mapped(head: Path) -> None:
    text = printed(head)
    assert "80 classes" in text
    assert "# " + str(head) + ":6: retinanet_head is read as anchor_decoupled_head" in text
    body = yaml.safe_load(text[: text.index("80 classes")])
    assert body["model"]["postprocessor"]["params"]["nms_thresh"] == 0.45
    assert body["model"]["architecture"]["head"]["params"]["norm_type"] == "batch_norm"


def test_classes_come_from_the_data(tmp_path: Path, head: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(HEAD + "data: {train: {format: shapes, classes: 5}, image_size: [100, 128]}\n")
    text = printed(path)
    assert "5 classes (data.train.classes)" in text
    assert "16x16" in text  # the canvas grows to 128x128, stride 8
    assert "2 classes (data.classes)" in printed(path, None, "data.classes=[a, b]")


def test_missing_weight_file_is_told_but_not_needed(head: Path) -> None:
    assert "NO SUCH FILE" in printed(
        head, 1, "model.architecture.backbone.params.weights=nowhere.safetensors"
    )


def test_bad_class_count(head: Path) -> None:
    with pytest.raises(UsageError, match="whole number > 0"):
        show(head, 0)
