"""NetsPresso's spellings of the model section, rewritten into ours before validation.

One function per part. Each enters into the ledger every key that is not ours in that place; what is still foreign
afterwards is an unknown key like any other. Values keep the place they were written at, for later errors.
"""

from __future__ import annotations

from typing import Any

from foveal.config.document import Document, Key, dotted
from foveal.config.netspresso.about import about, checkpoint, freeze
from foveal.config.netspresso.backbone import ALL_STAGES, backbone
from foveal.config.netspresso.ledger import Ledger, Note, assign
from foveal.config.netspresso.neck import neck
from foveal.errors import UsageError

MODEL: Key = ("model",)
ARCHITECTURE: Key = (*MODEL, "architecture")
HEAD: Key = (*ARCHITECTURE, "head")
LOSSES: Key = (*MODEL, "losses")
POSTPROCESSOR: Key = (*MODEL, "postprocessor", "params")
POSTPROCESSOR_KEYS = ("topk_candidates", "score_thresh", "nms_thresh", "class_agnostic")
MAPPINGS: tuple[Key, ...] = (
    MODEL,
    ARCHITECTURE,
    *((*ARCHITECTURE, part) for part in ("backbone", "neck", "head")),
    *((*ARCHITECTURE, part, "params") for part in ("backbone", "neck", "head")),
    POSTPROCESSOR[:-1],
    POSTPROCESSOR,
)

COMPAT: dict[str, dict[str, Any]] = {
    "netspresso_512": {"anchor_offset": 0.0, "anchor_rounding": "whole", "anchor_step": 512},
}
"""The anchors a model was trained with, as parameters of the head. netspresso_512: the generator takes every
picture for one of 512 x 512 (models/heads/detection/experimental/anchor_decoupled_head.py and, there,
detection/anchor_generator.py)."""

NAMES: dict[Key, tuple[str, ...]] = {
    (): ("compat", "model", "data", "augmentation", "training", "logging", "environment"),
    MODEL: ("compat",),
    (*HEAD, "params"): ("norm_layer", *POSTPROCESSOR_KEYS),
    (*LOSSES, 0): ("criterion", "weight"),
}
"""Names that NetsPresso has in a place and Foveal has not: what a misspelt key may have meant."""


def rewrite(document: Document) -> tuple[list[Note], list[str]]:
    """Rewrites the document in place: notes, and a line for every setting that has no equal here."""
    ledger = Ledger()
    rewrite_model(document, ledger)
    return ledger.notes, ledger.faults


def rewrite_model(document: Document, ledger: Ledger) -> None:
    """The same with an account of every foreign key; what has no equal is a fault of the ledger."""
    for key in MAPPINGS:
        if isinstance(document.get(key), list):
            ledger.fault(document.origin(key), f"{dotted(key)}: a list is not allowed; allowed: a mapping")
            document.put(key, {}, document.origin(key))
    for section in (compat, about, checkpoint, freeze, head, postprocessor, losses):
        with ledger.collecting():
            section(document, ledger)
    stages = ALL_STAGES
    with ledger.collecting():
        stages = backbone(document, ledger)
    with ledger.collecting():
        neck(document, ledger, stages)


def compat(document: Document, ledger: Ledger) -> None:
    """``compat: netspresso_512`` (in the model section, or at the top of the file) -> anchors of the head."""
    for key in ((*MODEL, "compat"), ("compat",)):
        if key not in document.origins:
            continue
        origin, value = document.origin(key), document.get(key)
        document.remove(key)
        if value is None:
            ledger.ignored(key, origin, "it is null: the anchors are Foveal's")
            continue
        if not isinstance(value, str) or value not in COMPAT:
            raise UsageError(
                f"{origin.place}: compat: {value!r} is not allowed; allowed: {', '.join(COMPAT)}, or null"
            )
        for name, setting in COMPAT[value].items():
            assign(document, (*HEAD, "params", name), setting, origin, f"compat: {value}")
        settings = ", ".join(f"{name} {setting}" for name, setting in COMPAT[value].items())
        ledger.mapped(key, origin, f"model.architecture.head.params: {settings}", f"compat: {value}")


def head(document: Document, ledger: Ledger) -> None:
    """``retinanet_head`` -> ``anchor_decoupled_head``, ``norm_layer`` -> ``norm_type``."""
    name: Key = (*HEAD, "name")
    if document.get(name) == "retinanet_head":
        origin = document.origin(name)
        document.put(name, "anchor_decoupled_head", origin)
        ledger.mapped(name, origin, "anchor_decoupled_head, the same head", "retinanet_head")
    old, new = (*HEAD, "params", "norm_layer"), (*HEAD, "params", "norm_type")
    if old not in document.origins:
        return
    here, value = document.origin(old), document.get(old)
    both = new in document.origins and document.get(new) != value
    if both and here.override == document.origin(new).override:
        document.remove(old)
        raise UsageError(
            f"{here.place}: norm_layer is {value!r} but norm_type is {document.get(new)!r} "
            f"({document.origin(new).place}); they are two names of one setting, give one"
        )
    if both and document.origin(new).override:
        document.remove(old)
        return
    twice = new in document.origins and not here.override
    document.move(old, new)
    ledger.mapped(old, here, f"norm_type{', given twice' if twice else ''}", "head norm_layer")


def postprocessor(document: Document, ledger: Ledger) -> None:
    """The four keys that old files hold in ``head.params`` -> ``model.postprocessor.params``."""
    for name in POSTPROCESSOR_KEYS:
        old, new = (*HEAD, "params", name), (*POSTPROCESSOR, name)
        if old not in document.origins:
            continue
        here, value = document.origin(old), document.get(old)
        there = document.origin(new) if new in document.origins else None
        if there is None or (here.override and not there.override):
            document.move(old, new)
            ledger.mapped(old, here, f"model.postprocessor.params.{name}", f"head.params.{name}")
            continue
        document.remove(old)
        differs = document.get(new) != value and not there.override
        why = (
            f"postprocessor.params.{name} ({there.place}), the newer place, {'wins' if differs else 'has it'}"
        )
        warning = (
            f"head.params.{name} is {value!r}, but postprocessor.params.{name} is {document.get(new)!r} "
            f"({there.place}), the newer place, which wins; remove one"
        )
        ledger.ignored(old, here, why, warning if differs else "")


def losses(document: Document, ledger: Ledger) -> None:
    """``[{criterion: retinanet_loss, weight: ~}]`` -> assigner, classification, box, normalizer."""
    value = document.get(LOSSES)
    if not isinstance(value, list):
        return
    origin = document.origin(LOSSES)
    criterion_key, weight_key = (*LOSSES, 0, "criterion"), (*LOSSES, 0, "weight")
    entry, at_weight = document.origin(criterion_key), document.origin(weight_key)
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
    to = (
        "IoU 0.5 / 0.4 with low-quality matches, focal loss (alpha 0.25, gamma 2), L1, each picture divided "
        "by its own positives"
    )
    ledger.mapped(criterion_key, entry, to, "retinanet_loss")
    if "weight" in value[0]:
        ledger.mapped(
            weight_key,
            at_weight,
            f"model.losses.classification.weight and model.losses.box.weight {weight:g}",
        )
