"""NetsPresso's spellings of the model section, rewritten into ours before validation.

One function per section; each returns notes that say what was mapped to what. What is still foreign
afterwards is an unknown key like any other. Values keep the place they were written at, for later errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from foveal.config.document import Document, Key, Origin
from foveal.errors import UsageError

ARCHITECTURE: Key = ("model", "architecture")
HEAD: Key = (*ARCHITECTURE, "head")
NECK: Key = (*ARCHITECTURE, "neck")
LOSSES: Key = ("model", "losses")
POSTPROCESSOR: Key = ("model", "postprocessor", "params")
POSTPROCESSOR_KEYS = ("topk_candidates", "score_thresh", "nms_thresh", "class_agnostic")
NECK_KEYS = ("num_outs", "start_level", "end_level", "add_extra_convs")
FIRST_STAGE_LEVEL = 2
"""Their backbone hands all four stages to the neck: start_level 0 is stride 4, our P2."""
LAST_LEVEL = 5


class Note(NamedTuple):
    """What was read differently from how it was written."""

    text: str
    warning: bool = False
    """The file contradicts itself; a person should look."""


def rewrite(document: Document) -> tuple[list[Note], list[str]]:
    """Rewrites the document in place: notes, and a line for every setting that has no equal here."""
    notes: list[Note] = []
    faults: list[str] = []
    for section in (head, postprocessor, neck, losses):
        try:
            notes += section(document)
        except UsageError as error:
            faults.append(str(error))
    return notes, faults


def head(document: Document) -> list[Note]:
    """``retinanet_head`` -> ``anchor_decoupled_head``, ``norm_layer`` -> ``norm_type``."""
    notes = []
    name = document.mapping(HEAD).get("name")
    if name == "retinanet_head":
        origin = document.origin((*HEAD, "name"))
        document.put((*HEAD, "name"), "anchor_decoupled_head", origin)
        notes.append(Note(f"{origin.place}: retinanet_head is read as anchor_decoupled_head, the same head"))
    old, new = (*HEAD, "params", "norm_layer"), (*HEAD, "params", "norm_type")
    if old not in document.origins:
        return notes
    place, value = document.origin(old).place, document.get(old)
    both = new in document.origins and document.get(new) != value
    if both and document.origin(old).override == document.origin(new).override:
        document.remove(old)
        raise UsageError(
            f"{place}: norm_layer is {value!r} but norm_type is {document.get(new)!r} "
            f"({document.origin(new).place}); they are two names of one setting, give one"
        )
    if both and document.origin(new).override:
        document.remove(old)
        return notes
    document.move(old, new)
    notes.append(Note(f"{place}: head norm_layer is read as norm_type"))
    return notes


def postprocessor(document: Document) -> list[Note]:
    """The four keys that old files hold in ``head.params`` -> ``model.postprocessor.params``."""
    notes = []
    for name in POSTPROCESSOR_KEYS:
        old, new = (*HEAD, "params", name), (*POSTPROCESSOR, name)
        if old not in document.origins:
            continue
        here, value = document.origin(old), document.get(old)
        there = document.origin(new) if new in document.origins else None
        if there is None or (here.override and not there.override):
            document.move(old, new)
            notes.append(Note(f"{here.place}: head.params.{name} is read as postprocessor.params.{name}"))
            continue
        document.remove(old)
        if document.get(new) != value and not there.override:
            notes.append(
                Note(
                    f"{here.place}: head.params.{name} is {value!r}, but postprocessor.params.{name} is "
                    f"{document.get(new)!r} ({there.place}), the newer place, which wins; remove one",
                    warning=True,
                )
            )
    return notes


def neck(document: Document) -> list[Note]:
    """Stage indices -> ``min_level``; ``add_extra_convs`` -> ``extra_convs``; ``num_outs`` is checked."""
    params: Key = (*NECK, "params")
    present = [name for name in NECK_KEYS if (*params, name) in document.origins]
    if not present:
        return []
    where = {name: document.origin((*params, name)) for name in present}
    values = {name: document.remove((*params, name)) for name in present}
    notes = []
    if "start_level" in present:
        first = FIRST_STAGE_LEVEL + _whole(values["start_level"], "start_level", where["start_level"], 0, 3)
        _set(document, (*params, "min_level"), first, where["start_level"], "start_level")
        place = where["start_level"].place
        notes.append(Note(f"{place}: start_level {values['start_level']} is read as min_level {first}"))
    first = document.get((*params, "min_level"))
    first = first if isinstance(first, int) else 3
    levels = _levels(document, values, where, first, notes)
    _check_end(values, where, notes)
    _extra_convs(document, values, where, levels - (LAST_LEVEL - first + 1), notes)
    if (*params, "out_channels") not in document.origins:
        place = where[present[0]].place
        notes.append(Note(f"{place}: NetsPresso's neck is as wide as the last stage; ours: out_channels"))
    return notes


def _levels(
    document: Document, values: dict[str, Any], where: dict[str, Origin], first: int, notes: list[Note]
) -> int:
    """Number of pyramid levels; ``num_outs`` must say the same as the head."""
    sizes = document.get((*HEAD, "params", "anchor_sizes"))
    lists = len(sizes) if isinstance(sizes, list) else 5
    if "num_outs" not in values:
        return lists
    place = where["num_outs"].place
    outs = _whole(values["num_outs"], "num_outs", where["num_outs"], 1, 6)
    if outs != lists:
        source = "has the default of 5" if not isinstance(sizes, list) else f"has {lists}"
        at = (
            f" ({document.origin((*HEAD, 'params', 'anchor_sizes')).place})"
            if isinstance(sizes, list)
            else ""
        )
        raise UsageError(
            f"{place}: num_outs {outs} makes the levels P{first}..P{first + outs - 1}, but "
            f"head.params.anchor_sizes {source} lists{at}, one per level, so P{first}..P{first + lists - 1}; "
            "make the two numbers equal"
        )
    notes.append(Note(f"{place}: num_outs {outs} agrees with anchor_sizes, which sets the number of levels"))
    return lists


def _check_end(values: dict[str, Any], where: dict[str, Origin], notes: list[Note]) -> None:
    if "end_level" not in values:
        return
    end = values["end_level"]
    if end not in (-1, 3, None) or isinstance(end, bool):
        raise UsageError(
            f"{where['end_level'].place}: end_level {end!r} leaves out the backbone's last stage, which "
            "Foveal's neck always uses; give -1"
        )
    notes.append(Note(f"{where['end_level'].place}: end_level {end} is the last stage, as always here"))


def _extra_convs(
    document: Document, values: dict[str, Any], where: dict[str, Origin], extra: int, notes: list[Note]
) -> None:
    """``extra``: number of levels above P5."""
    params: Key = (*NECK, "params")
    relu: Key = (*params, "relu_before_extra_convs")
    if extra > 1 and relu not in document.origins:
        origin = next(iter(where.values()))
        document.put(relu, False, origin)
        notes.append(
            Note(f"{origin.place}: relu_before_extra_convs is False where NetsPresso's file leaves it out")
        )
    if "add_extra_convs" not in values:
        return
    kind, origin = values["add_extra_convs"], where["add_extra_convs"]
    kind = "on_input" if kind is True else kind
    if kind not in (False, None, "on_input", "on_lateral", "on_output"):
        raise UsageError(
            f"{origin.place}: add_extra_convs {kind!r} is not allowed; allowed: False, on_input, on_lateral "
            "or on_output"
        )
    if kind in ("on_input", "on_output"):
        _set(document, (*params, "extra_convs"), kind, origin, "add_extra_convs")
        notes.append(Note(f"{origin.place}: add_extra_convs is read as extra_convs {kind}"))
    elif extra > 0:
        way = "pools P5" if kind != "on_lateral" else "takes C5's lateral map"
        raise UsageError(
            f"{origin.place}: add_extra_convs {kind} {way} for the {extra} level(s) above P5, which Foveal "
            "does not do; write extra_convs: on_input (from C5) or on_output (from P5)"
        )
    else:
        notes.append(Note(f"{origin.place}: add_extra_convs {kind} is ignored: no level lies above P5"))


def losses(document: Document) -> list[Note]:
    """``[{criterion: retinanet_loss, weight: ~}]`` -> assigner, classification, box, normalizer."""
    value = document.get(LOSSES)
    if not isinstance(value, list):
        return []
    origin = document.origin(LOSSES)
    entry = document.origins.get((*LOSSES, 0, "criterion"), origin)
    document.put(LOSSES, {}, origin)
    if len(value) != 1 or not isinstance(value[0], dict) or set(value[0]) - {"criterion", "weight"}:
        raise UsageError(
            f"{origin.place}: model.losses as a list must be [{{criterion: retinanet_loss, weight: ~}}]; "
            "or write a mapping with assigner, classification and box"
        )
    criterion, weight = value[0].get("criterion"), value[0].get("weight")
    if criterion != "retinanet_loss":
        raise UsageError(
            f"{entry.place}: criterion {criterion!r} has no equal here; allowed in a list: retinanet_loss"
        )
    if weight is None:
        weight = 1.0
    elif isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight < 0:
        raise UsageError(f"{entry.place}: weight {weight!r} is not allowed; allowed: a number >= 0, or null")
    ours = {
        "assigner": {"name": "iou", "fg_iou_thresh": 0.5, "bg_iou_thresh": 0.4, "allow_low_quality": True},
        "classification": {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 2.0, "weight": weight},
        "box": {"name": "l1", "weight": weight},
        "normalizer": "image_positives",
    }
    document.put(LOSSES, ours, origin)
    return [
        Note(
            f"{origin.place}: retinanet_loss is read as IoU 0.5 / 0.4 with low-quality matches, focal loss "
            "(alpha 0.25, gamma 2), L1, each picture divided by its own positives"
        )
    ]


def _whole(value: Any, name: str, origin: Origin, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(
            f"{origin.place}: {name} {value!r} is not allowed; allowed: a whole number in {least}..{most}"
        )
    return value


def _set(document: Document, key: Key, value: Any, origin: Origin, foreign: str) -> None:
    """Writes a mapped value unless ours stands there already and agrees, or is the stronger override."""
    if key in document.origins:
        if document.origin(key).override and not origin.override:
            return
        if document.get(key) != value and document.origin(key).override == origin.override:
            raise UsageError(
                f"{origin.place}: {foreign} asks for {key[-1]} {value!r}, but {key[-1]} is "
                f"{document.get(key)!r} ({document.origin(key).place}); give one of the two"
            )
    document.put(key, value, origin)
