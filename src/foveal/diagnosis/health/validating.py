"""What validations say of a run: nothing found at all, or learned by heart."""

from __future__ import annotations

from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health.history import History, RunFacts
from foveal.diagnosis.health.learning import loss_not_falling
from foveal.diagnosis.health.matching import boxes_without_anchor
from foveal.grammar import many

NOTHING = 0.001
"""An AP under this is 0 to any reader."""
ENOUGH_STEPS, ENOUGH_SHARE = 200, 0.25
"""Before so many steps and this share of the run, an AP of 0 says nothing."""
AFTER_BEST = 3
"""Validations in a row that are worse than an earlier one."""
VAL_ROSE = 1.1
OTHER_DATA = 2.0
"""Times the training loss: the validation set is not of the same kind, or not of the same classes."""


def nothing_found(history: History, facts: RunFacts) -> Finding | None:
    """AP is 0 where it should no longer be."""
    last = history.validations[-1]
    enough = last.step >= max(ENOUGH_STEPS, ENOUGH_SHARE * facts.steps)
    if not enough or last.values.get("AP", 1.0) > NOTHING:
        return None
    message = f"AP is {last.values['AP']:.4f} after {many(last.epoch, 'epoch')} ({last.step} steps)"
    return Finding("nothing_found", "warning", f"step {last.step}", message, _likely_cause(history, facts))


def _likely_cause(history: History, facts: RunFacts) -> str:
    for rule in (boxes_without_anchor, loss_not_falling):
        cause = rule(history, facts) if history.train else None
        if cause is not None:
            return f"likely cause: {cause.message}; {cause.fix}"
    train, val = history.mean("loss", 1), history.validations[-1].values.get("val_loss")
    if train is not None and val is not None and val > OTHER_DATA * train:
        return (
            f"likely cause: the validation set differs (its loss is {val:.3g}, in training {train:.3g}): compare "
            "the classes and boxes of data.val with those of data.train; run foveal doctor CONFIG"
        )
    return (
        "the boxes find anchors and the loss is no reason: train longer; where it stays so, look at how outputs "
        f"become detections: model.postprocessor.params.score_thresh (now {facts.score_thresh:g}), and foveal "
        "doctor CONFIG --overfit"
    )


def learned_by_heart(history: History, facts: RunFacts) -> Finding | None:
    """The validation loss rises and the AP does not, while the training loss falls on."""
    rows = [row for row in history.validations if "val_loss" in row.values]
    if len(rows) <= AFTER_BEST:
        return None
    best = min(rows, key=lambda row: row.values["val_loss"])
    since = [row for row in rows if row.step > best.step]
    scored = [row for row in rows if "AP" in row.values]
    best_ap = max(scored, key=lambda row: row.values["AP"]) if scored else best
    if len(since) < AFTER_BEST or sum(row.step > best_ap.step for row in rows) < AFTER_BEST:
        return None
    lowest, now = best.values["val_loss"], since[-1].values["val_loss"]
    train = [value for step, value in history.column("loss") if step <= best.step][-1:]
    train_now = history.mean("loss", 1)
    if now < VAL_ROSE * lowest or not train or train_now is None or train_now >= train[0]:
        return None
    message = (
        f"the validation loss has risen since step {best.step} ({lowest:.3g} to {now:.3g}) while the training "
        f"loss fell ({train[0]:.3g} to {train_now:.3g}): the training pictures are being learned by heart"
    )
    fix = (
        f"best.safetensors is of step {best_ap.step}; more pictures, more augmentation (data.augment), "
        "a shorter run (training.epochs), or training.early_stopping"
    )
    return Finding("overfitting", "warning", f"step {since[-1].step}", message, fix)


RULES = (nothing_found, learned_by_heart)
