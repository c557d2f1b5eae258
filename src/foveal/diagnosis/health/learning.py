"""Does the loss fall, and are the steps of a size that lets it?"""

from __future__ import annotations

from statistics import fmean, median

from foveal.diagnosis.finding import Finding
from foveal.diagnosis.health.history import History, RunFacts

SETTLED_STEPS = 100
"""Steps after the warm-up by which a loss has fallen visibly: on BCCD, chess and the shapes it had lost half."""
FALLEN = 0.95
"""A loss above this share of its first row's has not fallen."""
ROSE = 1.5
"""A loss so many times its lowest row is no noise: on BCCD, chess and the shapes a row was 1.03 times at most."""
WINDOW = 3
"""Rows that are averaged against noise."""
GRADIENT_JUMP = 20.0
"""Times the median of the rows before: far outside of their spread, which is a factor of 3 at most."""
CLIPPED_ROWS, FAR_OVER = 5, 10.0
"""So many rows in which every step was clipped, to a tenth or less: the gradient's size then says nothing."""
ALWAYS = 0.999
"""A mean of ones, as metrics.csv rounds it."""
SKIPPED_SHARE = 0.02


def loss_not_falling(history: History, facts: RunFacts) -> Finding | None:
    """The loss stands where it stood in the first row."""
    losses = list(history.column("loss", facts.unsettled))
    settled = facts.unsettled + facts.warmup + SETTLED_STEPS
    if facts.fine_tuned or len(losses) <= WINDOW or losses[-1][0] < settled:
        return None
    first, now = losses[0][1], fmean(value for _, value in losses[-WINDOW:])
    if now < FALLEN * first or min(value for _, value in losses) < FALLEN * first:
        return None
    message = f"the loss has not fallen in {losses[-1][0]} steps: {first:.3g} at first, {now:.3g} now"
    fix = (
        "run foveal doctor CONFIG --overfit: it tries this model on 8 pictures and names what stands in the way "
        f"(training.optimizer.lr_per_16 is {facts.lr_per_16:g})"
    )
    return Finding("loss_not_falling", "warning", _at(history), message, fix)


def loss_rising(history: History, facts: RunFacts) -> Finding | None:
    """The loss has gone up and stays up: mostly the learning rate."""
    losses = list(history.column("loss", facts.unsettled))
    if len(losses) < 2 * WINDOW:
        return None
    step, least = min(losses[:-WINDOW], key=lambda row: row[1])
    now = min(value for _, value in losses[-WINDOW:])
    if now < ROSE * least:
        return None
    message = f"the loss rose from {least:.3g} (step {step}) to {now:.3g} (step {losses[-1][0]})"
    fix = (
        "the learning rate is too high, most likely: set training.optimizer.lr_per_16 to "
        f"{facts.lr_per_16 / 3:.2g} (now {facts.lr_per_16:g})"
    )
    return Finding("learning_rate_too_high", "warning", _at(history), message, fix)


def gradient_jump(history: History, facts: RunFacts) -> Finding | None:
    """Gradients of another order of magnitude than before."""
    norms = history.recent("gradient_norm", 20)
    row = history.train[-1]
    if len(norms) < 2 * WINDOW or "gradient_norm" not in row.values:
        return None
    before = median(norms[:-1])
    if norms[-1] <= GRADIENT_JUMP * before:
        return None
    message = (
        f"the gradient norm jumped to {norms[-1]:.3g} in steps {row.first_step} to {row.step}; the median of the "
        f"rows before is {before:.3g}"
    )
    lower = f"lower training.optimizer.lr_per_16 (now {facts.lr_per_16:g})"
    fix = (
        f"run foveal doctor CONFIG for boxes that are wrong; where it goes on, {lower}"
        if facts.clip is not None
        else f"set training.clip_grad_norm (10 is the default), or {lower}"
    )
    return Finding("gradient_jump", "warning", _at(history), message, fix)


def always_clipped(history: History, facts: RunFacts) -> Finding | None:
    """Every step is cut down to the limit, by much."""
    shares = history.recent("clipped_steps", CLIPPED_ROWS)
    norm = history.mean("gradient_norm", CLIPPED_ROWS)
    if facts.clip is None or norm is None or len(shares) < CLIPPED_ROWS or min(shares) < ALWAYS:
        return None
    first = history.train[-CLIPPED_ROWS].first_step
    if norm < FAR_OVER * facts.clip or first <= max(facts.warmup, facts.unsettled):
        return None
    message = (
        f"gradients were clipped in every step from {first} on: their norm is {norm:.3g}, the limit "
        f"{facts.clip:.3g}"
    )
    fix = (
        f"raise training.clip_grad_norm (now {facts.clip:g}), or lower model.losses.classification.weight and "
        "model.losses.box.weight"
    )
    return Finding("always_clipped", "warning", _at(history), message, fix)


def many_skipped(history: History, facts: RunFacts) -> Finding | None:
    """A share of the steps is lost to numbers that are not finite."""
    skipped = history.recent("skipped_steps", 1)
    step = history.train[-1].step
    scaled = facts.precision == "16-mixed"  # its gradient scaler skips steps in the ordinary course
    if scaled or not skipped or step < SETTLED_STEPS or skipped[0] < SKIPPED_SHARE * step:
        return None
    message = f"{skipped[0]:.0f} of {step} steps were skipped for a loss or gradient that was not finite"
    other = "" if facts.precision == "fp32" else ", or set training.precision=fp32"
    fix = (
        f"lower training.optimizer.lr_per_16 (now {facts.lr_per_16:g}){other}; health.jsonl names the pictures of "
        "each skipped step"
    )
    return Finding("many_skipped", "warning", _at(history), message, fix)


def _at(history: History) -> str:
    return f"step {history.train[-1].step}"


RULES = (loss_not_falling, loss_rising, gradient_jump, always_clipped, many_skipped)
