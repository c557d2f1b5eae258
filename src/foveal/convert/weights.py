"""A foreign RetinaNet's weights -> a Foveal checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from foveal.build import build_detector
from foveal.checkpoint.format import save_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.config.schema import Config
from foveal.convert.classes import Naming, name_classes
from foveal.convert.fitting import OUR_EPS, change_eps, check_anchors, fit, keep_rows, place_subnets
from foveal.convert.layouts.layout import Layout
from foveal.convert.reading import Source, read_source
from foveal.convert.renaming import Renamed, recognise, rename
from foveal.convert.report import Conversion
from foveal.convert.settings import make_config
from foveal.convert.structure import Structure, read_structure
from foveal.errors import ModelFileError, UsageError
from foveal.ops.letterbox import canvas_size, size_policy

EXACT_EPS = {"eeacb38b": 0.0}
"""First digits of a published file's SHA-256 -> the epsilon its batch norms had. torchvision writes these digits
into its files' names, and sets the epsilon by code when it loads ``RetinaNet_ResNet50_FPN_Weights.COCO_V1``."""


class Wishes(NamedTuple):
    """What the user says beside the file."""

    source: str | None = None
    """Whose file it is; None: told by its names."""
    classes: Path | None = None
    keep_unnamed: bool = False
    image_size: tuple[int, int] | None = None
    """Height and width of the canvas; None: as the source's own program works."""
    bn_eps: float | None = None
    """Epsilon of the backbone's batch norms; None: 1e-5, but for files known to have another."""
    changes: Sequence[str] = ()
    """``key.sub=value`` over preset and file."""


def convert_weights(path: Path, output: Path, wishes: Wishes | None = None) -> Conversion:
    """Write ``output``, and say what became of every tensor.

    ModelFileError for a file that cannot be used, UsageError for wishes that do not fit it; no file is then left.
    """
    wishes = wishes or Wishes()
    if output.exists():
        raise UsageError(f"{output}: exists; choose another name, nothing is written over")
    source = read_source(path)
    layout = recognise(source, wishes.source)
    renamed = rename(source, layout)
    try:
        structure = read_structure(renamed.tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    found = layout.settings(source, renamed.tensors)
    config = make_config(path, layout.preset, structure, found, wishes.changes)
    naming = name_classes(
        structure.num_classes, source.facts, wishes.classes, layout.background, wishes.keep_unnamed
    )
    state = _fill(source, layout, renamed, structure, config, naming, _eps(source, wishes))
    size = wishes.image_size or layout.image_size
    notes = (*naming.notes, *_assumed(layout, structure, config, size, _eps(source, wishes)))
    facts = {
        "converted_from": {
            "program": layout.title, "layout": layout.name, "kind": source.kind, "file": path.name,
            "sha256": source.sha256, "notes": list(notes),
        }
    }  # fmt: skip
    values = config.model_dump(mode="json")
    save_checkpoint(output, state, CheckpointHeader(values, naming.classes, size_policy(*size), facts=facts))
    return Conversion(
        path.name, source.sha256, source.kind, layout.title, layout.preset, output,
        _network(structure, len(naming.rows)), notes, values["model"], tuple(renamed.entries.values()),
    )  # fmt: skip


def _fill(
    source: Source,
    layout: Layout,
    renamed: Renamed,
    structure: Structure,
    config: Config,
    naming: Naming,
    eps: float,
) -> dict[str, Tensor]:
    change_eps(renamed, eps)
    place_subnets(renamed, structure.head_norm)
    keep_rows(renamed, naming.rows, structure.num_anchors, structure.num_classes)
    detector = build_detector(config.model, len(naming.rows), pretrained=False)
    state = fit(source.path, renamed, detector.state_dict(), f"a RetinaNet on {structure.backbone}")
    cells = [detector.head.get_buffer(f"cell_{level}") for level in range(structure.levels)]
    check_anchors(source.path, layout.cell_anchors, source.tensors, cells)
    return state


def _eps(source: Source, wishes: Wishes) -> float:
    if wishes.bn_eps is not None:
        return wishes.bn_eps
    return EXACT_EPS.get(source.sha256[:8], OUR_EPS)


def _network(structure: Structure, classes: int) -> str:
    norm = "" if structure.head_norm == "none" else f" with {structure.head_norm}"
    return (
        f"{structure.backbone}, P{structure.min_level} to P{structure.min_level + structure.levels - 1} of "
        f"{structure.width} channels, {structure.num_layers} layers a subnet{norm}, "
        f"{structure.num_anchors} anchors a cell, {classes} classes"
    )


def _assumed(
    layout: Layout, structure: Structure, config: Config, size: tuple[int, int], eps: float
) -> list[str]:
    """What weights cannot show, so that a person can set it right."""
    notes = []
    architecture: Any = config.model.architecture
    pixels = architecture.pixels
    head = architecture.head.params
    place = "1x1" if architecture.backbone.params.stride_in_1x1 else "3x3"
    told = [
        f"pixels {pixels.order} with mean {list(pixels.mean)} and std {list(pixels.std)}",
        f"a stage's stride in its {place} convolution" if structure.bottleneck else "",
        f"anchors {[round(side, 2) for side in head.scaled_sizes()[0]]} on the finest level",
        f"ratios {list(head.aspect_ratios)}",
        f"epsilon of batch norm {eps:g}",
    ]
    said = f"not visible in weights, as {layout.preset} has it where nothing else is said"
    notes.append(f"{said}: {', '.join(text for text in told if text)}")
    notes.append(
        f"pictures are letterboxed onto {'x'.join(map(str, canvas_size(*size)))} (height x width); "
        "--image-size sets another"
    )
    return notes
