"""The configuration that ``foveal init`` writes: values, and the reason of each above it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from foveal.config.dump import dump_values
from foveal.config.load import SOURCE_PATHS
from foveal.config.schema import CocoSource, CsvSource, FileSource, VocSource
from foveal.data.csv_table import class_order
from foveal.data.records import Records
from foveal.diagnosis.anchors.octaves import SMALL_OBJECT
from foveal.diagnosis.data_fit import (
    BATCH_SIZE,
    LARGEST_CANVAS,
    MEDIAN_SIDE,
    SMALL_SIDE,
    DataFit,
    LengthFit,
    fit_data,
    fit_length,
)

SHAPES_PICTURES, SHAPES_VAL, SHAPES_SIZE = 512, 96, 160
SHAPES: dict[str, Any] = {
    "format": "shapes",
    "pictures": SHAPES_PICTURES,
    "classes": 3,
    "size": SHAPES_SIZE,
}
SHAPES_SIZES = [[16.0, 20.2, 25.4], [32.0, 40.3, 50.8], [64.0, 80.6, 101.6]]
SIDED = re.compile(r"(?:^|[^a-z])(?:left|right)(?:$|[^a-z])", re.IGNORECASE)
WEIGHTS_NOTE = (
    "imagenet: fetched by timm at the first start; without a network give a .safetensors file, or null"
)

TEST_NOTE = (
    "Not looked at here; when everything is chosen, once: foveal evaluate best.safetensors --part test"
)


class Proposal(NamedTuple):
    """Nested values and, by dotted key, the comments above them."""

    values: dict[str, Any]
    comments: dict[str, str]


class Parts(NamedTuple):
    """The splits of the data set, those to train and measure on as read."""

    train_source: FileSource
    train: Records
    val_source: FileSource | None
    val: Records | None
    test_source: FileSource | None
    note: str
    """What a person should know about the choice of the two; empty: nothing."""


def data_text(parts: Parts, output: Path) -> str:
    """YAML for a data set. parts.train has a box that is no crowd; paths are written as seen from ``output``."""
    fit = fit_data(parts.train)
    folder = output.absolute().parent
    data: dict[str, Any] = {"train": source_values(parts.train_source, folder)}
    if parts.val_source is not None:
        data["val"] = source_values(parts.val_source, folder)
    if parts.test_source is not None:
        data["test"] = source_values(parts.test_source, folder)
    names = class_names(parts)
    sided = [name for name in names if SIDED.search(name)]
    data |= {
        "classes": names,
        "image_size": [fit.canvas.height, fit.canvas.width],
        "augment": {"horizontal_flip": 0.0 if sided else 0.5, "scale_jitter": [0.8, 1.25], "colour": 0.2},
    }
    comments = {"data.image_size": _canvas_reason(fit, parts.train), "data.test": TEST_NOTE}
    if parts.note:
        comments["data.val" if parts.val_source is not None else "data"] = parts.note
    if sided:
        comments["data.augment"] = f"no flip: it would turn {sided[0]!r} into its opposite"
    model = _model(fit.anchors.sizes, fit.anchors.aspect_ratios, fit.anchors.min_level, "imagenet")
    comments |= _model_reasons(fit) | {"training": _length_reason(fit.length, len(parts.train))}
    proposal = Proposal({"data": data, "model": model, "training": _training(fit.length)}, comments)
    val = f"the {len(parts.val)} validation pictures" if parts.val is not None else "nothing: there is no val"
    return _text(proposal, output, val, fit.length)


def shapes_text(output: Path, written: tuple[CocoSource, CocoSource] | None = None) -> str:
    """YAML for generated shapes: no network needed. written: train and val where they were put on disk."""
    length = fit_length(SHAPES_PICTURES, SHAPES_SIZE**2)
    sources = [SHAPES, {**SHAPES, "pictures": SHAPES_VAL, "seed": 1}]
    if written is not None:
        sources = [source_values(source, output.absolute().parent) for source in written]
    data = {"train": sources[0], "val": sources[1], "image_size": [SHAPES_SIZE, SHAPES_SIZE]}
    model = _model(SHAPES_SIZES, [0.5, 1.0, 2.0], 3, None)
    model["architecture"]["backbone"]["params"]["batch_norm"] = "trained"
    comments = {
        "data": "Pictures are drawn while they are read; another seed gives other pictures of the same classes."
        if written is None
        else "Generated pictures, with their labels as COCO JSON.",
        "model.architecture.backbone.params.weights": "null: from random weights, so that nothing is downloaded",
    }
    proposal = Proposal({"data": data, "model": model, "training": _training(length)}, comments)
    return _text(proposal, output, f"{SHAPES_VAL} pictures that are not trained on", length)


def class_names(parts: Parts) -> list[str]:
    """Classes with a box in train or val; COCO and YOLO by the file's id, VOC and CSV by name."""
    ids: dict[str, int] = {}
    for records in (parts.train, parts.val):
        if records is not None:
            for name, number in zip(records.classes.names, records.classes.ids, strict=True):
                ids.setdefault(name, number)
    if isinstance(parts.train_source, VocSource | CsvSource):
        return sorted(ids, key=class_order)
    return sorted(ids, key=lambda name: (ids[name], name))


def source_values(source: FileSource, folder: Path) -> dict[str, Any]:
    """A source as it stands in a configuration file in ``folder``."""
    values = source.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    paths = {key: _path(values[key], folder) for key in SOURCE_PATHS if key in values}
    return {"format": source.format, **values, **paths}


def _path(text: str, folder: Path) -> str:
    """Relative where the file lies under the configuration's folder or the working directory, else absolute."""
    path = Path(text)
    near = path.is_relative_to(folder) or (
        path.is_relative_to(Path.cwd()) and folder.is_relative_to(Path.cwd())
    )
    return Path(os.path.relpath(path, folder)).as_posix() if near else path.as_posix()


def _model(
    sizes: list[list[float]], ratios: list[float], min_level: int, weights: str | None
) -> dict[str, Any]:
    neck = {"name": "fpn", "params": {"min_level": min_level, "out_channels": 256}}
    head = {"anchor_sizes": sizes, "aspect_ratios": ratios, "num_layers": 4, "norm_type": "group_norm"}
    return {
        "architecture": {
            "backbone": {"name": "mobilenetv2_100", "params": {"weights": weights, "c5": "conv_head"}},
            "neck": neck,
            "head": {"name": "anchor_decoupled_head", "params": head},
        },
        "losses": {
            "assigner": {"name": "atss", "topk": 9},
            "classification": {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 2.0},
            "box": {"name": "giou", "weight": 2.0},
        },
        "postprocessor": {"params": {"score_thresh": 0.05, "nms_thresh": 0.5, "detections_per_img": 100}},
    }


def _training(length: LengthFit) -> dict[str, Any]:
    return {
        "epochs": length.epochs,
        "batch_size": BATCH_SIZE,
        "optimizer": {"name": "adamw", "lr_per_16": 1e-3, "weight_decay": 0.05},
        "schedule": {"name": "cosine", "warmup_steps": 100},
        "ema": {"decay": 0.998},
        "validate_every": length.validate_every,
    }


def _canvas_reason(fit: DataFit, train: Records) -> str:
    heights, widths = train.heights, train.widths
    sizes = f"{widths.min()}x{heights.min()}"
    if (widths.min(), heights.min()) != (widths.max(), heights.max()):
        sizes += f" to {widths.max()}x{heights.max()}"
    text = (
        f"[height, width], multiples of 32. Pictures are {sizes} (width x height). On this canvas the median box\n"
        f"is {fit.median_side:.0f} px wide and high, the smallest tenth are under {fit.small_side:.0f} px"
    )
    if fit.canvas.capped:
        return f"{text}; {LARGEST_CANVAS} is the cap for\na CPU: with a GPU take more, and fit the anchors again."
    return f"{text}\n(aimed at: {MEDIAN_SIDE} and {SMALL_SIDE} px, within the size of the pictures)."


def _model_reasons(fit: DataFit) -> dict[str, str]:
    anchors, params = fit.anchors, "model.architecture"
    level = f"P{anchors.min_level} (stride {2**anchors.min_level})"
    why = f"the median box is under {SMALL_OBJECT} px" if anchors.min_level == 2 else "as in the paper"
    return {
        f"{params}.backbone.params.weights": WEIGHTS_NOTE,
        f"{params}.neck.params.min_level": f"finest level {level}: {why}",
        f"{params}.head.params.anchor_sizes": (
            "Rule: three sizes an octave, doubling per level; the smallest is the one whose shapes overlap the\n"
            "measured boxes best, and there are as many levels as the largest boxes need. Best possible recall:\n"
            f"an anchor reaches IoU 0.5 with {fit.recall:.1%} of the training boxes "
            f"(RetinaNet's own: {fit.paper_recall:.1%})."
        ),
        f"{params}.head.params.aspect_ratios": "height / width: 10 %, 50 % and 90 % of the boxes, "
        "or 0.5, 1, 2 where that is near",
    }


def _length_reason(length: LengthFit, pictures: int) -> str:
    return f"{pictures} pictures, {BATCH_SIZE} a step: {length.steps} steps"


def _text(proposal: Proposal, output: Path, measured_on: str, length: LengthFit) -> str:
    minutes = max(1, round(length.minutes))
    header = (
        f"foveal train {output}\n\n"
        f"Expect: {length.steps} steps, about {minutes} minutes on two CPU cores, far less on a GPU; AP is\n"
        f"measured every {length.validate_every} epochs on {measured_on}. The result is in runs/{output.stem}/:\n"
        "best.safetensors, config.yaml (every setting, resolved), metrics.csv, evaluation.json.\n"
        f"Look at a batch first: foveal train {output} --show-batch"
    )
    return dump_values(proposal.values, header, proposal.comments)
