"""Do boxes find anchors, and does the class loss look at objects?"""

from __future__ import annotations

from foveal.diagnosis.anchors.sides import sides_in_words
from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health.history import History, RunFacts
from foveal.grammar import many

ROWS = 3
"""Rows that are averaged: 30 steps and 120 pictures at least."""
UNMATCHED_PICTURES = 0.2
UNMATCHED_BOXES = 0.1
"""On BCCD and the shapes none is without an anchor."""
RARE_PICTURES, RARE_EPOCHS = 5, 5
"""A class on fewer pictures may miss an epoch by chance (a crop, the incomplete last batch), but hardly five."""
FEW_WITH_BOXES = 0.1
"""Share of pictures with a box under which easy background is most of the loss in any case."""
EASY_SHARE, EASY_AFTER = 0.9, 200
"""Share of the class loss; before so many steps nothing is easy yet, or everything is."""
NAMED = 5
FIT_ANCHORS = "run foveal doctor CONFIG --fit-anchors"


def pictures_without_positives(history: History, facts: RunFacts) -> Finding | None:
    """Pictures with boxes of which none has an anchor: nothing is learned from them but background."""
    missing, having = (history.mean(name, ROWS) for name in ("pictures_unmatched", "pictures_with_boxes"))
    if missing is None or not having or missing / having < UNMATCHED_PICTURES:
        return None
    message = f"{_percent(missing / having)} of pictures with boxes have no positive anchor: {_sides(facts)}"
    return Finding("pictures_without_positives", "warning", _at(history), message, FIT_ANCHORS)


def boxes_without_anchor(history: History, facts: RunFacts) -> Finding | None:
    """Boxes without an anchor in pictures that have others: they are trained as background."""
    missing, having = (history.mean(name, ROWS) for name in ("boxes_unmatched", "boxes"))
    if missing is None or not having or missing / having < UNMATCHED_BOXES:
        return None
    message = f"{_percent(missing / having)} of boxes have no positive anchor: {_sides(facts)}"
    return Finding("boxes_without_anchor", "warning", _at(history), message, FIT_ANCHORS)


def dead_classes(history: History, facts: RunFacts) -> Finding | None:
    """Classes that no anchor has stood for yet, in any whole epoch."""
    epochs, classes = history.epochs, range(len(facts.class_names))
    found = [sum(row.values.get(f"positives_of_class.{k}", 0.0) for row in epochs) for k in classes]
    enough = [1 if n == 0 or n >= RARE_PICTURES else RARE_EPOCHS for n in facts.pictures_per_class]
    dead = [k for k in classes if found[k] == 0 and len(epochs) >= enough[k]]
    if not dead:
        return None
    counts = facts.boxes_per_class
    shown = ", ".join(f"'{facts.class_names[k]}' ({many(counts[k], 'box', 'boxes')})" for k in dead[:NAMED])
    more = f" and {len(dead) - NAMED} more" if len(dead) > NAMED else ""
    noun = "class" if len(dead) == 1 else "classes"
    message = f"{noun} {shown}{more} had no positive anchor in {many(len(epochs), 'epoch')}"
    return Finding("dead_class", "warning", f"epoch {epochs[-1].epoch}", message, _revive(dead, facts))


def _revive(dead: list[int], facts: RunFacts) -> str:
    empty = [k for k in dead if facts.boxes_per_class[k] == 0]
    unreached = f"{FIT_ANCHORS}, and foveal doctor CONFIG for pictures that cannot be read"
    if not empty:
        return f"no anchor reaches their boxes, most likely: {unreached}"
    names = ", ".join(f"'{facts.class_names[k]}'" for k in empty[:NAMED])
    fix = f"the training set has no box of {names}: label some, or leave it out of data.classes"
    return fix if len(empty) == len(dead) else f"{fix}; for the others {unreached}"


def easy_negatives(history: History, facts: RunFacts) -> Finding | None:
    """What the network knows already is most of what it is trained on."""
    share = history.mean("cls_share_easy", ROWS)
    if share is None or share < EASY_SHARE or history.train[-1].step < EASY_AFTER:
        return None
    message = f"easy background (score under 0.1) holds {_percent(share)} of the class loss"
    labelled = history.mean("pictures_with_boxes", ROWS)
    if labelled is not None and labelled < FEW_WITH_BOXES:
        message += f"; {_percent(labelled)} of the pictures have a box"
        fix = "lower data.tiles.keep_empty" if facts.tiled else "leave out most of the pictures without a box"
    elif facts.class_loss == "cross_entropy":
        fix = "set model.losses.classification: {name: focal, focal_gamma: 2.0}"
    else:
        fix = f"raise model.losses.classification.focal_gamma (now {facts.gamma:g})"
        fix += ", or focal_alpha" if facts.class_loss == "focal" else ""
    return Finding("easy_negatives", "warning", _at(history), message, fix)


def _sides(facts: RunFacts) -> str:
    return sides_in_words(facts.median_side, *facts.anchor_sides)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _at(history: History) -> str:
    return f"step {history.train[-1].step}"


RULES = (pictures_without_positives, boxes_without_anchor, easy_negatives)
EPOCH_RULES = (dead_classes,)
