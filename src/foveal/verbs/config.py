"""``foveal config schema`` and ``foveal config show``: what may be written, and what a file amounts to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table
from torch import nn

from foveal.build import build_detector, build_records
from foveal.config.load import dump_config, read_config
from foveal.config.schema import Config, ShapesSource, json_schema
from foveal.errors import UsageError
from foveal.models.detector import Detector
from foveal.ops.letterbox import canvas_size

COCO_CLASSES = 80


def schema() -> str:
    """JSON Schema of the configuration file; editors complete and check YAML from it."""
    return json_schema()


def show(
    path: Path, classes: int | None = None, overrides: Sequence[str] = (), console: Console | None = None
) -> Detector:
    """Builds the model of a file and prints the resolved YAML and what every pyramid level looks like.

    classes: number of classes; default: that of the file's data, or 80 where it has none. Backbone weights are
    neither fetched nor read. UsageError for a file that cannot be read, DataError for data that cannot.
    """
    console = console or Console(highlight=False)
    if classes is not None and classes < 1:
        raise UsageError(f"--classes {classes}: give a whole number > 0")
    config, notes = read_config(path, overrides, require_data=False)
    number, source = (classes, "as asked") if classes is not None else _class_count(config)
    detector = build_detector(config.model, number, pretrained=False)
    lines = [f"{path}, every setting resolved"]
    lines += [f"{'WARNING ' if note.warning else ''}{note.text}" for note in notes]
    console.print(dump_config(config, "\n".join(lines)), markup=False, soft_wrap=True)
    console.print(level_table(config, detector, f"{number} classes ({source})"))
    console.print(_parameters(config, detector), markup=False, soft_wrap=True)
    return detector


def _class_count(config: Config) -> tuple[int, str]:
    if config.data is None:
        return COCO_CLASSES, "as in COCO; --classes N sets another number"
    if config.data.classes is not None:
        return len(config.data.classes), "data.classes"
    if isinstance(config.data.train, ShapesSource):
        return config.data.train.classes, "data.train.classes"
    return len(build_records(config.data.train).classes.names), "those of the training labels"


def level_table(config: Config, detector: Detector, title: str) -> Table:
    """Per level: stride, grid, anchors, and the channels of the two outputs."""
    head = config.model.architecture.head.params
    anchors = int(getattr(detector.head, "num_anchors"))  # noqa: B009 - a Module's attribute is not typed
    class_outputs = int(getattr(detector.head, "cls_channels"))  # noqa: B009
    table = Table(title=title, title_justify="left")
    for name in (
        "level",
        "stride",
        "grid",
        "anchors per cell",
        "sides, px",
        "class outputs",
        "box outputs",
    ):
        justify: JustifyMethod = "left" if name == "level" else "right"
        table.add_column(name, justify=justify, no_wrap=name in ("level", "sides, px"))
    size = canvas_size(*config.data.image_size) if config.data else None
    for stride, sides in zip(detector.strides, head.scaled_sizes(), strict=True):
        grid = "x".join(str(math.ceil(side / stride)) for side in size) if size else "-"
        table.add_row(
            f"P{int(math.log2(stride))}",
            str(stride),
            grid,
            str(anchors),
            f"{min(sides):.4g} - {max(sides):.4g}" if len(sides) > 1 else f"{sides[0]:g}",
            str(class_outputs),
            str(anchors * 4),
        )
    return table


def _parameters(config: Config, detector: Detector) -> str:
    parts = {"backbone": detector.backbone, "neck": detector.neck, "head": detector.head}
    counts = [f"{name} {_count(part):,}" for name, part in parts.items()]
    backbone = config.model.architecture.backbone
    weights = backbone.params.weights
    if weights is None:
        note = "backbone weights: none, random at the start of training"
    elif weights == "imagenet":
        note = (
            f"backbone weights: {backbone.name} of timm, pretrained on ImageNet; fetched when training starts"
        )
    else:
        found = "" if Path(weights).is_file() else "; NO SUCH FILE"
        note = f"backbone weights: {weights}, read when training starts{found}"
    return f"parameters: {', '.join(counts)}, together {_count(detector):,}\n{note}"


def _count(module: nn.Module) -> int:
    """Weights and biases, frozen batch norm's included."""
    norm = sum(
        buffer.numel()
        for name, buffer in module.named_buffers()
        if name.rpartition(".")[2] in ("weight", "bias")
    )
    return sum(parameter.numel() for parameter in module.parameters()) + norm
