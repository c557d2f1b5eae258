"""Every section of a NetsPresso set of files -> the sections of one configuration, and an account of every key."""

from __future__ import annotations

import copy

from foveal.config.document import Document, Key, dotted
from foveal.config.fields import field_schema, nearest, resolve
from foveal.config.netspresso import about, augmentation, backbone, data, model, neck, surroundings, training
from foveal.config.netspresso.ledger import Entry, Ledger, walk
from foveal.config.netspresso.transforms import TRANSFORMS
from foveal.config.netspresso.translation import OFF, Translation

OURS = ("model", "compat")
HARMLESS = "logging"
"""A key of this section changes nothing that is learned, so an unknown one is no error."""
NAMES: dict[Key, tuple[str, ...]] = {}
for _room in (model, about, backbone, neck, data, augmentation, training, surroundings):
    NAMES.update(
        {key: tuple(dict.fromkeys((*NAMES.get(key, ()), *names))) for key, names in _room.NAMES.items()}
    )


def translate(theirs: Document, ledger: Ledger) -> Document:
    """Our document of theirs; the ledger then has every key of theirs, or faults.

    theirs: any of the sections model, data, augmentation, training, logging and environment, with their origins.
    """
    ours = Document(
        {name: copy.deepcopy(theirs.value[name]) for name in OURS if name in theirs.value},
        {key: origin for key, origin in theirs.origins.items() if not key or key[0] in OURS},
    )
    model.rewrite_model(ours, ledger)
    t = Translation(theirs, ours, ledger)
    data.data(t)
    augmentation.augmentation(t)
    surroundings.environment(t)
    training.training(t)
    surroundings.logging(t)
    optimizer: Key = ("training", "optimizer")
    if ours.mapping(optimizer) and (*optimizer, "name") not in ours.origins:
        ours.put((*optimizer, "name"), "adamw", ours.origin(optimizer))
    _finish(t)
    _tell_differences(t)
    return ours


def _finish(t: Translation) -> None:
    """Accounts for the keys that nothing above has asked for, and puts the account in the order of the files."""
    keys = list(walk(t.theirs.value))
    refused = bool(t.ledger.faults)  # a section given up leaves keys behind that say nothing new
    for key, holds_keys in keys:
        if key in t.ledger.entries or holds_keys or (refused and _known(t, key)):
            continue
        if len(key) == 1 and t.get(key) is None:
            t.ledger.ignored(key, t.origin(key), OFF)
        elif key[0] == "model" and key in t.ours.origins and field_schema(key, t.ours) is not None:
            t.used(key)
        elif not _known(t, key):
            _unknown(t, key)
        elif t.get(key) is None or t.get(key) in ({}, []):
            t.ledger.ignored(key, t.origin(key), OFF)
        else:
            t.ledger.fault(t.origin(key), f"{dotted(key)}: {t.get(key)!r} is not understood in this place")
    for key, holds_keys in keys:
        if holds_keys and key not in t.ledger.entries:
            _section(t, key)
    order = {key: place for place, (key, _) in enumerate(keys)}
    entries = sorted(t.ledger.entries.values(), key=lambda entry: order.get(entry.key, len(order)))
    t.ledger.entries = {entry.key: entry for entry in entries}


def _tell_differences(t: Translation) -> None:
    """What a model of theirs does that no key of its file says."""
    head: Key = ("model", "architecture", "head")
    if not t.has(head):
        return
    if (*head, "params", "anchor_step") not in t.ours.origins:
        t.ledger.remark(
            t.origin(head),
            "anchors are Foveal's: in the middle of a cell, not rounded, right for every picture size; weights "
            "trained by NetsPresso need model.compat: netspresso_512",
        )
    if ("model", "postprocessor", "params", "detections_per_img") not in t.ours.origins:
        t.ledger.remark(
            t.origin(head),
            "at most 100 detections of a picture are kept, where NetsPresso keeps all that NMS leaves: "
            "model.postprocessor.params.detections_per_img: null",
        )


def _section(t: Translation, key: Key) -> None:
    below = [entry for entry in t.ledger.entries.values() if entry.key[: len(key)] == key]
    if any(entry.kind != "ignored" for entry in below):
        t.used(key, "holds keys")
    else:
        t.ledger.entries[key] = Entry(key, t.origin(key).place, "ignored", "all that it holds is")


def _names(t: Translation, section: Key) -> list[str]:
    """What may stand in a section, theirs and ours."""
    plain = tuple(0 if isinstance(step, int) else step for step in section)
    names = list(NAMES.get(plain, ()))
    if section[:1] == ("augmentation",) and isinstance(section[-1], int):
        kind = str(t.get((*section, "name"))).lower()
        names += TRANSFORMS[kind].names if kind in TRANSFORMS else ("name",)
    if section[:1] == ("model",):
        schema = field_schema(section, t.ours) or {}
        names += list(resolve(schema).get("properties", ()))
    return names


def _known(t: Translation, key: Key) -> bool:
    return str(key[-1]) in _names(t, key[:-1])


def _unknown(t: Translation, key: Key) -> None:
    """An error where it may have meant something: a misspelt key must not change a run without a word."""
    near = nearest(str(key[-1]), _names(t, key[:-1]))
    where = f" in {dotted(key[:-1])}" if len(key) > 1 else " at the top level"
    text = f"unknown key {key[-1]!r}{where}" + (f"; did you mean {near!r}?" if near else "")
    if key[0] == HARMLESS:
        t.ledger.ignored(
            key, t.origin(key), f"it is an {text}; nothing in {HARMLESS} changes what is learned"
        )
    else:
        t.ledger.fault(t.origin(key), text)
