"""Which part of the data is trained on and which is measured on; and rules on what is missing of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from foveal.data.split import VAL_SHARE
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.doctor.rulebook import finding

NOT_USED = ("not used", "left out")
"""In what the layout tells: something is there, or is named, and is passed over."""
MEASURED_ON_TEST = (
    "The data has no validation part: AP is measured on its test part while training, so the best\n"
    "weights are chosen on it, and a later number on it is a little too good."
)
NO_TRAINING_PART = (
    "The data has no training part: its validation part is trained on, AP is measured on its\n"
    "test part. Where you have the training part, put it at data.train, and the validation part here."
)


class Roles(NamedTuple):
    """The parts that ``foveal init`` takes."""

    train: str
    val: str | None
    """None: the data has one part alone."""
    note: str
    """What a person should know of the choice; empty: nothing."""


def choose_roles(names: Collection[str]) -> Roles:
    """Of the names of the parts that a folder holds, at least one."""
    train = next((name for name in ("train", "trainval", "all") if name in names), None)
    if train is not None and train != "trainval" and "val" in names:  # trainval holds val's pictures, too
        return Roles(train, "val", "")
    if train is not None and "test" in names:
        return Roles(train, "test", MEASURED_ON_TEST)
    if train is None and "val" in names and "test" in names:
        return Roles("val", "test", NO_TRAINING_PART)
    return Roles(train or ("val" if "val" in names else "test"), None, "")


def missing_parts(parts: Sequence[Part], notes: Sequence[str], configured: bool) -> Iterator[Hit]:
    """notes: what the layout tells of how the parts were found. configured: a configuration names the parts."""
    for note in notes:
        if any(words in note for words in NOT_USED):
            yield Hit(finding("not_used", "parts", _line(note)))
    names = [part.name for part in parts]
    if configured:
        if "val" not in names:
            yield Hit(finding("nothing_measured", "data.val", "is not set"))
        return
    roles = choose_roles(names)
    if roles.note:
        rule = "no_training_part" if roles.note == NO_TRAINING_PART else "no_validation_part"
        yield Hit(finding(rule, "parts", _line(roles.note)))
    elif roles.val is None:
        text = f"{roles.train} is all there is: foveal init holds {VAL_SHARE:.0%} of its pictures out"
        yield Hit(finding("no_validation_part", "parts", text))


def _line(note: str) -> str:
    return " ".join(note.split())
