"""Do boxes find anchors, and does the class loss look at objects?"""

from __future__ import annotations

from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health.history import History, RunFacts

ROWS = 3
"""Rows that are averaged: 30 steps at least."""
UNMATCHED_PICTURES = 0.2
UNMATCHED_BOXES = 0.1
"""On BCCD and the shapes none is without an anchor."""
DEAD_BOXES, DEAD_EPOCHS = 5, 2
"""A class with fewer boxes may miss an epoch by chance (a crop, the incomplete last batch), but hardly two."""
EASY_SHARE, EASY_AFTER = 0.9, 200
"""Share of the class loss; before so many steps nothing is easy yet, or everything is."""
NAMED = 5
FIT_ANCHORS = "run foveal doctor CONFIG --fit-anchors"


def pictures_without_positives(history: History, facts: RunFacts) -> Finding | None:
    """Pictures with boxes of which none has an anchor: nothing is learned from them but background."""
    missing, having = (history.mean(name, ROWS) for name in ("pictures_unmatched", "pictures_with_boxes"))
    if missing is None or not having or missing / having < UNMATCHED_PICTURES:
        return None
    message = f"{_percent(missing / having)} of pictures have no positive anchor: {_sides(facts)}"
    return Finding("pictures_without_positives", "warning", _at(history), message, FIT_ANCHORS)


def boxes_without_anchor(history: History, facts: RunFacts) -> Finding | None:
    """Boxes without an anchor in pictures that have others: they are trained as background."""
    missing, having = (history.mean(name, ROWS) for name in ("boxes_unmatched", "boxes"))
    if missing is None or not having or missing / having < UNMATCHED_BOXES:
        return None
    message = f"{_percent(missing / having)} of boxes have no positive anchor: {_sides(facts)}"
    return Finding("boxes_without_anchor", "warning", _at(history), message, FIT_ANCHORS)


def dead_classes(history: History, facts: RunFacts) -> Finding | None:
    """Classes that no anchor stood for in a whole epoch."""
    last = history.epochs[-DEAD_EPOCHS:]
    names = [f"positives_of_class.{k}" for k in range(len(facts.class_names))]
    if any(name not in last[-1].values for name in names):
        return None
    dead = [
        k
        for k, name in enumerate(names)
        if last[-1].values[name] == 0
        and (
            not 0 < facts.boxes_per_class[k] < DEAD_BOXES
            or (len(last) == DEAD_EPOCHS and all(row.values.get(name) == 0 for row in last))
        )
    ]
    if not dead:
        return None
    empty = [k for k in dead if not facts.boxes_per_class[k]]
    shown = ", ".join(f"'{facts.class_names[k]}' ({facts.boxes_per_class[k]} boxes)" for k in dead[:NAMED])
    more = f" and {len(dead) - NAMED} more" if len(dead) > NAMED else ""
    one = len(dead) == 1
    message = (
        f"{'class' if one else 'classes'} {shown}{more} had no positive anchor in epoch {last[-1].epoch}"
    )
    fix = (
        "the training set has no box of it: take it out of data.classes, or label some"
        if len(empty) == len(dead)
        else f"its boxes find no anchor, or its pictures cannot be read: {FIT_ANCHORS}, and foveal doctor CONFIG"
    )
    return Finding("dead_class", "warning", f"epoch {last[-1].epoch}", message, fix)


def easy_negatives(history: History, facts: RunFacts) -> Finding | None:
    """What the network knows already is most of what it is trained on."""
    share = history.mean("cls_share_easy", ROWS)
    if share is None or share < EASY_SHARE or history.train[-1].step < EASY_AFTER:
        return None
    message = f"easy background (score under 0.1) holds {_percent(share)} of the class loss"
    if facts.class_loss == "cross_entropy":
        fix = "set model.losses.classification: {name: focal, focal_gamma: 2.0}"
    else:
        fix = f"raise model.losses.classification.focal_gamma (now {facts.gamma:g})"
        fix += ", or focal_alpha" if facts.class_loss == "focal" else ""
    return Finding("easy_negatives", "warning", _at(history), message, fix)


def _sides(facts: RunFacts) -> str:
    return f"median box {facts.median_side:.0f} px, smallest anchor {facts.smallest_anchor:.0f} px"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _at(history: History) -> str:
    return f"step {history.train[-1].step}"


RULES = (pictures_without_positives, boxes_without_anchor, easy_negatives)
EPOCH_RULES = (dead_classes,)
