"""A data set whose names are attacks, and the configuration of a detector that learns it in a minute."""

from __future__ import annotations

import json
from pathlib import Path

from foveal.data.shapes import make_shapes, write_shapes

CLASSES = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "<svg/onload=alert(3)>",
    "javascript:alert(4)",
    "</script></title></style></textarea><script>alert(5)</script>",
    "{{7*7}}${7*7}<%= 7*7 %>{% raw %}",
    "<img src=http://evil.example/x><link rel=stylesheet href=//evil.example/y>",
    "<iframe srcdoc='<script>parent.alert(6)</script>'>",
    "\u202eright to left\u2066 \u0645\u0631\u062d\u0628\u0627",
    "<meta http-equiv=refresh content=0;url=http://evil.example/>",
    "' onfocus=alert(8) autofocus '",
    "__proto__",
    "w" * 10_000,
)
FILES = tuple(f"{name.replace('/', ' ')[:150]} {place}.png" for place, name in enumerate(CLASSES))
CONFIG = """\
data:
  train: {format: coco, annotations: data/annotations.json, images: data/images}
  val: {format: coco, annotations: data/annotations.json, images: data/images}
  image_size: [96, 128]
  workers: 0
model:
  architecture:
    backbone: {name: lcnet_050, params: {weights: null, batch_norm: trained}}
    neck: {params: {out_channels: 32, norm_type: batch_norm}}
    head:
      params: {anchor_sizes: [[16], [32], [64]], aspect_ratios: [1.0], num_layers: 1, norm_type: group_norm}
training:
  max_steps: 30
  batch_size: 8
  optimizer: {name: adamw, lr_per_16: 0.01}
  device: cpu
"""


def write_set(work: Path) -> Path:
    """``data/`` and the configuration in a folder -> the configuration."""
    folder = work / "data"
    write_shapes(make_shapes(len(FILES), len(CLASSES), 128, seed=1, empty_share=0.0), folder)
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    for category, name in zip(content["categories"], CLASSES, strict=True):
        category["name"] = name
    for image, name in zip(content["images"], FILES, strict=True):
        (folder / "images" / image["file_name"]).rename(folder / "images" / name)
        image["file_name"] = name
    # A fault, so that the doctor has something to say of a file.
    content["annotations"][-1]["bbox"] = [10, 10, 0, 20]
    file.write_text(json.dumps(content))
    config = work / "hostile.yaml"
    config.write_text(CONFIG)
    return config
