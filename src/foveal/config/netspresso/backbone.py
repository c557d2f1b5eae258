"""NetsPresso's resnet, given block by block -> the timm network of that shape, or why there is none.

Facts: models/backbones/core/resnet.py. Up to 0.2 the keys are ``block``, ``norm_layer``, ``plane`` and ``layers``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from foveal.config.document import Document, Key
from foveal.config.netspresso.ledger import Ledger, assign
from foveal.config.resnets import RESNETS
from foveal.errors import UsageError

BACKBONE: Key = ("model", "architecture", "backbone")
EXPANSION = {"basicblock": 1, "bottleneck": 4}
CHANNELS = (64, 128, 256, 512)
PARAMS = (
    *("block_type", "block", "norm_type", "norm_layer", "return_stage_idx"),
    *("split_stem_conv", "first_stage_shortcut_conv"),
)
STAGE = (
    *("channels", "plane", "num_blocks", "layers", "replace_stride_with_dilation"),
    "replace_stride_with_pooling",
)
NAMES: dict[Key, tuple[str, ...]] = {
    BACKBONE: ("name", "params", "stage_params"),
    (*BACKBONE, "params"): PARAMS,
    (*BACKBONE, "stage_params", 0): STAGE,
}


class Stages(NamedTuple):
    """What NetsPresso's backbone hands to its neck."""

    returned: tuple[int, ...]
    """Indices of the stages, 0 the one of stride 4."""
    width: int | None
    """Channels of the last of them; None where the file does not describe the backbone."""


ALL_STAGES = Stages((0, 1, 2, 3), None)


def backbone(document: Document, ledger: Ledger) -> Stages:
    """Rewrites a backbone given by ``stage_params`` into a timm name; what it gives to the neck."""
    stages = (*BACKBONE, "stage_params")
    foreign = [name for name in PARAMS if (*BACKBONE, "params", name) in document.origins]
    if stages not in document.origins and not foreign:
        return ALL_STAGES
    origin = document.origin((*BACKBONE, "name"))
    name = document.get((*BACKBONE, "name"))
    values = _take(document, (*BACKBONE, "params"), foreign)
    blocks = document.get(stages)
    place = document.origin(stages)
    keys = {key: document.origin(key) for key in document.origins if key[: len(stages)] == stages}
    if stages in document.origins:
        document.remove(stages)
    if name is not None and not str(name).lower().startswith("resnet"):
        if (*BACKBONE, "params") in document.origins:
            document.remove((*BACKBONE, "params"))  # of the same kind: one line is enough
        raise UsageError(
            f"{origin.place}: backbone {name!r} of NetsPresso cannot be built: of its backbones only resnet is "
            "known to be one of timm's, block for block; give the name of a timm network and no stage_params"
        )
    if not isinstance(blocks, list) or not all(isinstance(stage, dict) for stage in blocks):
        raise UsageError(
            f"{place.place}: this resnet cannot be built: stage_params must be a list of {{channels, num_blocks}}"
        )
    timm, why = _timm_name(values, blocks)
    if timm is None:
        raise UsageError(
            f"{place.place}: this resnet cannot be built: {why}; of one shape with timm's are "
            f"{', '.join(RESNETS.values())}"
        )
    document.put((*BACKBONE, "name"), timm, origin)
    if name is not None:
        ledger.mapped(
            (*BACKBONE, "name"),
            origin,
            f"model.architecture.backbone.name {timm} of timm",
            f"backbone {name}",
        )
    for key, at in keys.items():
        if isinstance(key[-1], str) and key != stages:
            ledger.used(key, at, f"as in {timm}")
    returned = _returned(document, values, len(blocks))
    for foreign_name in foreign:
        key = (*BACKBONE, "params", foreign_name)
        if foreign_name == "return_stage_idx":
            ledger.used(
                key, values[foreign_name][1], f"P{returned[0] + 2} is the neck's first possible level"
            )
        else:
            ledger.used(key, values[foreign_name][1], f"as in {timm}")
    block = _first(values, "block_type", "block")
    return Stages(returned, CHANNELS[returned[-1]] * EXPANSION[str(block).lower()])


def _take(document: Document, section: Key, names: list[str]) -> dict[str, Any]:
    """Removes keys; name -> (value, origin)."""
    found = {}
    for name in names:
        origin = document.origin((*section, name))
        found[name] = (document.remove((*section, name)), origin)
    return found


def _first(values: dict[str, Any], *names: str) -> Any:
    return next((values[name][0] for name in names if name in values), None)


def _timm_name(values: dict[str, Any], stages: list[dict[str, Any]]) -> tuple[str | None, str]:
    """timm's name, or None and the reason."""
    block = str(_first(values, "block_type", "block")).lower()
    norm = _first(values, "norm_type", "norm_layer")
    channels = tuple(stage.get("channels", stage.get("plane")) for stage in stages)
    counts = tuple(stage.get("num_blocks", stage.get("layers")) for stage in stages)
    pooled = [bool(stage.get("replace_stride_with_pooling")) for stage in stages[1:]]
    split = bool(_first(values, "split_stem_conv"))
    if block not in EXPANSION:
        return None, f"block_type {block!r} is neither basicblock nor bottleneck"
    if norm not in (None, "batch_norm"):
        return None, f"its norm is {norm!r}, not batch_norm"
    if channels != CHANNELS:
        return None, f"its stages have {_list(channels)} channels, not {_list(CHANNELS)}"
    if not all(isinstance(count, int) for count in counts) or (block, counts) not in RESNETS:
        return None, f"{_list(counts)} blocks of {block} are no known depth"
    if any(stage.get("replace_stride_with_dilation") for stage in stages):
        return None, "replace_stride_with_dilation keeps a stage at the stride of the one before"
    if _first(values, "first_stage_shortcut_conv") and block == "basicblock":
        return None, "first_stage_shortcut_conv puts a convolution where a basicblock has none"
    name = RESNETS[block, counts]
    if not split and not any(pooled):
        return name, ""
    if split and all(pooled):  # ResNet-D (He et al. 2019, figure 2)
        return f"{name}d", ""
    return (
        None,
        "split_stem_conv and replace_stride_with_pooling must both be on, in every stage, or both off",
    )


def _returned(document: Document, values: dict[str, Any], stages: int) -> tuple[int, ...]:
    if "return_stage_idx" not in values:
        return tuple(range(stages))
    given, origin = values["return_stage_idx"]
    indices = tuple(given) if isinstance(given, list) and given else (stages - 1,)
    if indices != tuple(range(stages))[-len(indices) :]:
        raise UsageError(
            f"{origin.place}: return_stage_idx {list(indices)} leaves a stage out; Foveal's neck takes every "
            f"stage from its first to C5: a list that ends in {stages - 1} without a gap"
        )
    return indices


def _list(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))


def set_width(document: Document, ledger: Ledger, stages: Stages, key: Key) -> None:
    """The neck is as wide as the last stage that it is given (models/necks/experimental/fpn.py)."""
    if stages.width is None or key in document.origins:
        return
    origin = document.origin(BACKBONE)
    assign(document, key, stages.width, origin, "backbone")
    ledger.remark(
        origin,
        f"neck.params.out_channels is {stages.width}: NetsPresso's neck is as wide as the last stage "
        "(RetinaNet's 256 is far smaller; a new model does well with it)",
    )
