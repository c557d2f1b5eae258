"""Structure and preset -> the configuration of the converted model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from foveal.config import overrides, presets
from foveal.config.document import Document, Origin
from foveal.config.explain import faults_of, lines
from foveal.config.schema import Config
from foveal.convert.layouts.layout import Settings
from foveal.convert.structure import Structure
from foveal.errors import ModelFileError, UsageError

IMAGENET_MEAN = [123.675, 116.28, 103.53]
IMAGENET_STD = [58.395, 57.12, 57.375]
"""Of red, green and blue in 0..255."""


def make_config(
    path: Path, preset: str, structure: Structure, found: Settings, changes: Sequence[str]
) -> Config:
    """What the user asks for, over what the file shows, over the preset.

    found: settings that the file gives beside its structure. changes: ``key.sub=value``. UsageError for a wrong
    one, ModelFileError where file and settings do not go together.
    """
    origin = Origin(str(path), Path.cwd())
    document = Document({}, {(): origin})
    document.put(("model", "preset"), preset, origin)
    for name, value in {**_pixels(preset), **_of(structure), **found}.items():
        document.put(("model", *name.split(".")), value, origin)
    overrides.apply(document, changes)
    presets.fill(document)
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        raise UsageError("\n".join(lines(faults_of(error, document), document))) from None
    _check(path, config, structure)
    return config


def _pixels(preset: str) -> Settings:
    """ImageNet's numbers, written out: a preset without its own leaves them to the backbone's entry in timm."""
    if presets.PRESETS[preset]["architecture"]["pixels"]["mean"] is not None:
        return {}
    return {"architecture.pixels.mean": IMAGENET_MEAN, "architecture.pixels.std": IMAGENET_STD}


def _of(structure: Structure) -> Settings:
    found: Settings = {
        "architecture.backbone.name": structure.backbone,
        "architecture.backbone.params.weights": None,
        "architecture.neck.params.min_level": structure.min_level,
        "architecture.neck.params.out_channels": structure.width,
        "architecture.neck.params.norm_type": structure.neck_norm,
        "architecture.head.params.num_layers": structure.num_layers,
    }
    if structure.extra_convs is not None:
        found["architecture.neck.params.extra_convs"] = structure.extra_convs
    if structure.num_layers:
        found["architecture.head.params.norm_type"] = structure.head_norm
    if not structure.bottleneck:  # two 3x3 convolutions a block: the stride has one place only
        found["architecture.backbone.params.stride_in_1x1"] = False
    return found


def _check(path: Path, config: Config, structure: Structure) -> None:
    """Anchors leave no trace in weights but their number: it must be that of the settings."""
    head = config.model.architecture.head.params
    anchors = len(head.scaled_sizes()[0]) * len(head.aspect_ratios)
    if anchors != structure.num_anchors:
        raise ModelFileError(
            f"{path}: has {structure.num_anchors} anchors per cell, and the settings of {config.model.preset} "
            f"give {anchors}; say which: model.architecture.head.params.anchor_sizes= and ...aspect_ratios="
        )
    if len(head.anchor_sizes) != structure.levels:
        raise ModelFileError(
            f"{path}: has {structure.levels} pyramid levels, and the settings of {config.model.preset} give "
            f"anchors for {len(head.anchor_sizes)}; say which: model.architecture.head.params.anchor_sizes="
        )
