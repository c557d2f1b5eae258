"""NetsPresso's ``fpn`` -> ours: stage indices as levels, and the levels beyond the last stage.

Facts: models/necks/experimental/fpn.py, docs/models/necks/fpn.md.
"""

from __future__ import annotations

from typing import Any

from foveal.config.document import Document, Key, Origin
from foveal.config.netspresso.backbone import Stages, set_width
from foveal.config.netspresso.ledger import Ledger, assign, whole
from foveal.errors import UsageError

PARAMS: Key = ("model", "architecture", "neck", "params")
SIZES: Key = ("model", "architecture", "head", "params", "anchor_sizes")
NECK_KEYS = ("num_outs", "start_level", "end_level", "add_extra_convs", "no_norm_on_lateral")
NAMES: dict[Key, tuple[str, ...]] = {PARAMS: NECK_KEYS}
OURS = "model.architecture.neck.params"
FIRST_STAGE_LEVEL = 2
"""Stage 0 is stride 4, our P2."""
LAST_LEVEL = 5

Values = dict[str, tuple[Any, Origin]]


def neck(document: Document, ledger: Ledger, stages: Stages) -> None:
    """Stage indices -> ``min_level``; ``add_extra_convs`` -> ``extra_convs``; ``num_outs`` is checked."""
    values: Values = {}
    for name in NECK_KEYS:
        key = (*PARAMS, name)
        if key in document.origins:
            origin = document.origin(key)
            values[name] = (document.remove(key), origin)
    if not values:
        return
    if "start_level" in values:
        start, origin = values["start_level"]
        index = whole(start, "start_level", origin, 0, len(stages.returned) - 1)
        first = FIRST_STAGE_LEVEL + stages.returned[index]
        assign(document, (*PARAMS, "min_level"), first, origin, "start_level")
        ledger.mapped((*PARAMS, "start_level"), origin, f"{OURS}.min_level {first}", f"start_level {start}")
    first = document.get((*PARAMS, "min_level"))
    first = first if isinstance(first, int) else 3
    levels = _levels(document, ledger, values, first)
    _check_end(ledger, values, len(stages.returned) - 1)
    if "no_norm_on_lateral" in values:
        why = "NetsPresso's neck has no norms at all, whatever it says"
        ledger.ignored((*PARAMS, "no_norm_on_lateral"), values["no_norm_on_lateral"][1], why)
    _extra_convs(document, ledger, values, levels - (LAST_LEVEL - first + 1))
    set_width(document, ledger, stages, (*PARAMS, "out_channels"))
    if (*PARAMS, "out_channels") not in document.origins:
        origin = next(iter(values.values()))[1]
        ledger.remark(origin, "NetsPresso's neck is as wide as the last stage; ours: out_channels")


def _levels(document: Document, ledger: Ledger, values: Values, first: int) -> int:
    """Number of pyramid levels; ``num_outs`` must say the same as the head."""
    sizes = document.get(SIZES)
    lists = len(sizes) if isinstance(sizes, list) else 5
    if "num_outs" not in values:
        return lists
    value, origin = values["num_outs"]
    outs = whole(value, "num_outs", origin, 1, 6)
    if outs != lists:
        source = "has the default of 5" if not isinstance(sizes, list) else f"has {lists}"
        at = f" ({document.origin(SIZES).place})" if isinstance(sizes, list) else ""
        raise UsageError(
            f"{origin.place}: num_outs {outs} makes the levels P{first}..P{first + outs - 1}, but "
            f"head.params.anchor_sizes {source} lists{at}, one per level, so P{first}..P{first + lists - 1}; "
            "make the two numbers equal"
        )
    ledger.used((*PARAMS, "num_outs"), origin, "it agrees with anchor_sizes, which sets the number of levels")
    return lists


def _check_end(ledger: Ledger, values: Values, last: int) -> None:
    if "end_level" not in values:
        return
    end, origin = values["end_level"]
    if end not in (-1, last, None) or isinstance(end, bool):
        raise UsageError(
            f"{origin.place}: end_level {end!r} leaves out the backbone's last stage, which Foveal's neck "
            "always uses; give -1"
        )
    ledger.used((*PARAMS, "end_level"), origin, "the last stage, as always here")


def _extra_convs(document: Document, ledger: Ledger, values: Values, extra: int) -> None:
    """``extra``: number of levels above P5."""
    relu: Key = (*PARAMS, "relu_before_extra_convs")
    if extra > 1 and relu not in document.origins:
        origin = next(iter(values.values()))[1]
        document.put(relu, False, origin)
        ledger.remark(origin, "relu_before_extra_convs is False where NetsPresso's file leaves it out")
    if "add_extra_convs" not in values:
        return
    key: Key = (*PARAMS, "add_extra_convs")
    kind, origin = values["add_extra_convs"]
    kind = "on_input" if kind is True else kind
    if kind not in (False, None, "on_input", "on_lateral", "on_output"):
        raise UsageError(
            f"{origin.place}: add_extra_convs {kind!r} is not allowed; allowed: False, on_input, on_lateral "
            "or on_output"
        )
    if kind in ("on_input", "on_output"):
        assign(document, (*PARAMS, "extra_convs"), kind, origin, "add_extra_convs")
        ledger.mapped(key, origin, f"{OURS}.extra_convs {kind}", "add_extra_convs")
    elif extra > 0:
        way = "pools P5" if kind != "on_lateral" else "takes C5's lateral map"
        raise UsageError(
            f"{origin.place}: add_extra_convs {kind} {way} for the {extra} level(s) above P5, which Foveal "
            "does not do; write extra_convs: on_input (from C5) or on_output (from P5)"
        )
    else:
        ledger.ignored(key, origin, "no level lies above P5")
