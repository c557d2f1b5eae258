"""A run folder as training and evaluation leave it, small and made by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

MakeRun = Callable[..., Path]

METRICS = """\
step,epoch,loss,cls,box,positives,positives_stride_8,positives_stride_16,rate,gradient_norm,AP,AP50,val_loss
10,0,2.0,1.0,1.0,12,8,4,0.001,5,,,
20,0,1.5,0.75,0.75,13,9,4,0.002,4,,,
20,1,,,,,,,,,0.2,0.4,1.7
30,1,1.0,0.5,0.5,14,9,5,0.001,3,,,
40,1,0.5,0.25,0.25,13,9,4,0,2,,,
40,2,,,,,,,,,0.5,0.8,0.9
"""


def evaluation(names: list[str], score: float = 0.5) -> dict[str, Any]:
    """What ``foveal evaluate`` writes, for these classes."""
    metrics = {"AP": score, "AP50": 0.8, "AP75": 0.55, "APs": None, "APm": 0.4, "APl": 0.6}
    metrics |= {"AR1": 0.3, "AR10": 0.5, "AR100": 0.6, "ARs": None, "ARm": 0.5, "ARl": 0.7}
    interval = {"value": score, "low": score - 0.05, "high": score + 0.04}
    kinds = ("class", "location", "both", "duplicate", "background", "missed")
    points = dict(zip(kinds, (1.0, 7.5, 0.2, 0.0, 3.0, 4.0), strict=True))
    counts = dict(zip(kinds, (2, 30, 1, 0, 11, 9), strict=True))
    size = len(names) + 1
    matrix = [[40 if i == j < size - 1 else i + 2 * j for j in range(size)] for i in range(size)]
    curve = {"threshold": [0.9, 0.6, 0.2], "precision": [1.0, 0.9, 0.5], "recall": [0.2, 0.6, 0.8]}
    bins = [{"low": 0.0, "high": 0.5, "count": 3, "score": None, "correct": None}]
    bins += [{"low": 0.5, "high": 1.0, "count": 9, "score": 0.75, "correct": 0.5}]
    return {
        **metrics,
        "pictures": 40,
        "checkpoint": "/home/someone/runs/x/best.safetensors",
        "per_class": [
            {"name": name, "id": k, "pictures": 20, "boxes": 50, "AP": score, "AP50": 0.8, "AR100": 0.6}
            for k, name in enumerate(names)
        ],
        "intervals": {
            "AP": interval,
            "AP50": None,
            "per_class": [{"name": n, "AP": interval} for n in names],
        },
        "errors": {
            "points": points,
            "counts": counts,
            "per_class": [{"name": name, "points": points, "counts": counts} for name in names],
        },
        "confusion": {"names": [*names, None], "counts": matrix, "iou": 0.5},
        "curves": [{"name": name, "boxes": 50, **curve, "f1": [0.33, 0.72, 0.6]} for name in names],
        "calibration": {"error": 0.11, "bins": bins},
        "thresholds": {"rule": "f1", "values": dict.fromkeys(names, 0.55), "unreached": {}},
        "by_size": {
            "per_class": [
                {"name": n, "boxes": [0, 5, 9], "APs": None, "APm": 0.4, "APl": 0.6} for n in names
            ],
            "recall_by_size": [{"low": 32, "high": 64, "boxes": 5, "any_score": 0.9, "kept": 0.8}],
            "recall_by_boxes_in_picture": [{"low": 1, "high": 3, "boxes": 5, "any_score": 1.0, "kept": 0.7}],
        },
    }


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function (name, class names, score, sheet) that makes a run folder."""

    def make(
        name: str = "first",
        names: tuple[str, ...] = ("cat", "dog"),
        score: float = 0.5,
        sheet: str = "misses.jpg",
    ) -> Path:
        folder = tmp_path / "runs" / name
        (folder / "galleries").mkdir(parents=True)
        (folder / "metrics.csv").write_text(METRICS)
        (folder / "evaluation.json").write_text(json.dumps(evaluation(list(names), score)))
        source = {"format": "coco", "annotations": "/home/someone/my data/set/train.json", "images": None}
        config = {
            "data": {"train": source, "val": None, "classes": list(names), "image_size": [96, 128]},
            "training": {"batch_size": 4, "max_steps": 40},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        line = {
            "step": 20,
            "rule": "no_positives",
            "message": "no anchors in /home/someone/x",
            "fix": "fit them",
        }
        (folder / "health.jsonl").write_text(json.dumps(line) + "\n")
        Image.new("RGB", (300, 200), (200, 30, 30)).save(folder / "galleries" / sheet)
        rows = [
            {"file": f"{names[0]}.jpg", "why": "too small", "label": {"class": names[0]}, "detection": None}
        ]
        sheets = [{"name": "misses", "title": f"Worst of {names[0]}", "file": sheet, "rows": rows}]
        (folder / "galleries" / "galleries.json").write_text(json.dumps(sheets))
        write_weights(folder / "best.safetensors", dict.fromkeys(names, 0.4))
        return folder

    return make


def write_weights(file: Path, thresholds: dict[str, float]) -> None:
    """A safetensors file of two tensors, with a header as checkpoints have it."""
    about = {"version": "0.1.0", "thresholds": thresholds, "facts": {"metrics": {"AP": 0.25}}}
    header = {
        "__metadata__": {"foveal": json.dumps(about)},
        "backbone.stem.weight": {"dtype": "F32", "shape": [30, 50], "data_offsets": [0, 6000]},
        "head.cls.weight": {"dtype": "F32", "shape": [40, 25], "data_offsets": [6000, 10000]},
    }
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(10000))
