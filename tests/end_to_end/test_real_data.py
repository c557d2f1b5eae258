"""A few steps on each real data set, from published weights, through every verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foveal.config.load import load_config
from foveal.metrics.coco import COCO_METRICS
from foveal.verbs.evaluate import evaluate
from foveal.verbs.predict import predict
from foveal.verbs.train import train

RECIPE = """\
data:
  train: {train}
  val: {val}
  image_size: [96, 128]
  augment: {{horizontal_flip: 0.5, scale_jitter: [0.8, 1.2]}}
  workers: 0
model:
  architecture:
    backbone: {{name: mobilenetv2_100, params: {{weights: {weights}, c5: conv_head}}}}
    neck: {{params: {{out_channels: 32}}}}
    head: {{params: {{num_layers: 1, norm_type: group_norm}}}}
training: {{max_steps: {steps}, batch_size: 2, device: cpu}}
"""


@pytest.fixture
def start(shared: Path, tmp_path: Path) -> Any:
    """Trains on two YAML sources; (result, configuration)."""
    weights = shared / "weights" / "mobilenet_v2_imagenet.safetensors"

    def run(train_source: str, val_source: str, steps: int) -> tuple[Any, Path]:
        config = tmp_path / "real.yaml"
        config.write_text(RECIPE.format(train=train_source, val=val_source, weights=weights, steps=steps))
        return train(config, output=tmp_path / "runs"), config

    return run


def part_of_coco(source: Path, target: Path, pictures: int) -> str:
    """The first pictures of a COCO file as a file of their own; a YAML source."""
    content = json.loads(source.read_text())
    content["images"] = content["images"][:pictures]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] in kept]
    target.write_text(json.dumps(content))
    return f"{{format: coco, annotations: {target}, images: {source.parent}}}"


def assert_measured(result: Any, pictures: int) -> None:
    written = json.loads((result.folder / "evaluation.json").read_text())
    assert {name: written[name] for name in COCO_METRICS} == result.metrics
    assert written["pictures"] == pictures
    assert result.metrics["AP"] is not None
    assert 0 <= result.metrics["AP"] < 0.5  # two steps teach nothing


def test_bccd(shared: Path, start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared / "data" / "bccd_voc" / "BCCD"
    sources = []
    for part in ("train", "val"):
        stems = (root / "ImageSets" / "Main" / f"{part}.txt").read_text().split()[:4]
        split = tmp_path / f"{part}.txt"
        split.write_text("\n".join(stems))
        folders = f"annotations: {root / 'Annotations'}, images: {root / 'JPEGImages'}"
        sources.append(f"{{format: voc, {folders}, split: {split}}}")
    result, config = start(*sources, 2)
    out = capsys.readouterr().out
    assert (
        "backbone: mobilenet_v2_imagenet.safetensors into mobilenetv2_100: 314 of 314 tensors matched" in out
    )
    assert "train: 4 pictures, " in out
    assert_measured(result, 4)
    assert load_config(result.folder / "config.yaml") == load_config(config)
    again = evaluate(result.fit.best_file, device="cpu", workers=0, quiet=True)
    assert again.metrics == result.metrics
    picture = str(root / "JPEGImages" / f"{stems[0]}.jpg")
    found = predict(
        result.fit.best_file, [picture], tmp_path / "found", everything=True, device="cpu", quiet=True
    )
    detections = found.predictions[0].detections
    assert (detections.height, detections.width) == (480, 640)
    assert set(detections.names) <= {"Platelets", "RBC", "WBC"}


def test_chess(shared: Path, start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids from 0, a super-category without boxes, pictures of 2048 x 1371."""
    root = shared / "data" / "chess_coco"
    sources = [
        part_of_coco(root / part / "_annotations.coco.json", tmp_path / f"{part}.json", 4)
        for part in ("valid", "test")
    ]
    result, _ = start(*sources, 1)
    assert_measured(result, 4)
    out = capsys.readouterr().out
    assert "pieces" not in out
    assert "train: 4 pictures, " in out


def test_tinycoco(shared: Path, start: Any, tmp_path: Path) -> None:
    """Eighty declared classes of which some occur, crowd boxes, areas of masks."""
    files = sorted((shared / "data" / "tinycoco_coco").rglob("instances_*.json"))
    pictures = {file: file.parent.parent / "images" for file in files}
    sources = []
    for file in files:
        content = json.loads(file.read_text())
        content["images"] = content["images"][:4]
        target = tmp_path / file.name
        target.write_text(json.dumps(content))
        name = content["images"][0]["file_name"]
        folder = next(path.parent for path in pictures[file].rglob(name))
        sources.append(f"{{format: coco, annotations: {target}, images: {folder}}}")
    result, _ = start(sources[0], sources[-1], 1)
    assert_measured(result, 4)
