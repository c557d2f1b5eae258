"""``training.yaml`` -> section ``training``: length, optimiser, schedule, moving average.

Facts: optimizers/custom.py, schedulers/*.py (rates change once an epoch), utils/model_ema.py,
docs/components/training/. Files of 0.0 have the optimiser's and the schedule's keys in ``training`` itself.
"""

from __future__ import annotations

from typing import Any

from foveal.config.document import Key
from foveal.config.netspresso.surroundings import pictures_per_step
from foveal.config.netspresso.translation import Translation

TRAINING: Key = ("training",)
OPTIMIZER: Key = (*TRAINING, "optimizer")
SCHEDULER: Key = (*TRAINING, "scheduler")
EMA: Key = (*TRAINING, "ema")
DEFAULT_BATCH = 8
"""cfg/training.py, where no file gives a batch size."""
REFERENCE_PICTURES = 16
OPTIMIZERS = {"adamw": "adamw", "adam": "adamw", "sgd": "sgd", "momentum": "sgd", "nesterov": "sgd"}
NO_OPTIMIZER = ("adadelta", "adagrad", "adamax", "rmsprop")
BETAS = [0.9, 0.999]
_OTHER = "it is of an optimizer that Foveal has not"
OPTIMIZER_REASONS = {
    "rho": _OTHER,
    "alpha": _OTHER,
    "lr_decay": _OTHER,
    "overwrite": "single parameters have no settings of their own here; backbone_lr_factor is for the backbone",
}
_PHASES = "Foveal's cosine falls once, over the whole run"
SCHEDULER_REASONS = {
    "warmup_bias_lr": "Foveal's warm-up rises from nothing, step by step",
    "power": "Foveal has no polynomial schedule",
    "sched_power": "Foveal has no polynomial schedule",
    "iters_per_phase": _PHASES,
    "gamma": "it is of step schedules",
    "milestones": "it is of step schedules",
    "min_lr": "the schedule does not fall to a rate of its own",
}
FLAT = {"opt": "optimizer", "sched": "scheduler"}
FLAT_OPTIMIZER = ("opt", "lr", "momentum", "weight_decay")
FLAT_SCHEDULER = ("sched", "min_lr", "warmup_bias_lr", "warmup_epochs", "iters_per_phase", "sched_power")
NAMES: dict[Key, tuple[str, ...]] = {
    TRAINING: (
        *("epochs", "batch_size", "seed", "mixed_precision", "max_norm", "ema", "optimizer", "scheduler"),
        *FLAT_OPTIMIZER,
        *FLAT_SCHEDULER,
    ),
    OPTIMIZER: (
        *("name", "lr", "betas", "weight_decay", "momentum", "nesterov", "no_bias_decay"),
        *("no_norm_weight_decay", *OPTIMIZER_REASONS),
    ),
    SCHEDULER: ("name", "warmup_epochs", "end_epoch", *SCHEDULER_REASONS),
    EMA: ("name", "decay", "beta"),
}


def training(t: Translation) -> None:
    """The whole section; ``environment`` has taken seed and batch size already."""
    if not t.has(TRAINING):
        return
    _simple(t, "epochs", "epochs")
    _simple(t, "max_norm", "clip_grad_norm", nullable=True)
    key = (*TRAINING, "mixed_precision")
    if t.has(key):
        t.map(key, (*TRAINING, "precision"), "16-mixed" if t.get(key) else "fp32")
    rate = _optimizer(t)
    _scheduler(t, rate)
    _ema(t)


def _simple(t: Translation, theirs: str, ours: str, nullable: bool = False) -> None:
    key = (*TRAINING, theirs)
    if t.number(key) is not None or (nullable and t.has(key) and t.get(key) is None):
        t.map(key, (*TRAINING, ours), t.get(key))
    elif t.has(key) and t.get(key) is None:
        t.ignore(key, "")


def _place(t: Translation, section: Key, name: str, flat: str | None = None) -> Key:
    """Where the file gives a setting: in its own section, or, in old files, in ``training``."""
    key = (*section, name)
    return key if t.has(key) or not t.has((*TRAINING, flat or name)) else (*TRAINING, flat or name)


def _optimizer(t: Translation) -> float | None:
    """Writes the optimiser; the learning rate of the file, where it is of an optimiser that Foveal has."""
    key = _place(t, OPTIMIZER, "name", "opt")
    name = str(t.get(key) or "adamw").lower()
    if name in NO_OPTIMIZER:
        why = f"Foveal has no {name}; its AdamW with its own rate stands in"
        t.ignore(key, why, warning=True)
        t.ignore_known(OPTIMIZER, dict.fromkeys(NAMES[OPTIMIZER], _OTHER))
        t.ignore_known(TRAINING, dict.fromkeys(FLAT_OPTIMIZER, _OTHER))
        return None
    if name not in OPTIMIZERS:
        known = ", ".join((*OPTIMIZERS, *NO_OPTIMIZER))
        t.ledger.fault(t.origin(key), f"optimizer {name!r} is not known; NetsPresso has {known}")
        return None
    ours = OPTIMIZERS[name]
    if t.has(key):
        how = "Adam whose weight decay is not part of the gradient" if name == "adam" else ""
        t.map(key, (*OPTIMIZER, "name"), ours, how)
    rate = _rate(t)
    for setting in ("weight_decay", "momentum"):
        _setting(t, setting, ours)
    _fixed(t, name)
    t.ignore_known(OPTIMIZER, OPTIMIZER_REASONS)
    return rate


def _rate(t: Translation) -> float | None:
    """Theirs is the rate of a step, ours of a step of 16 pictures."""
    key = _place(t, OPTIMIZER, "lr")
    rate = t.number(key)
    if rate is None:
        if t.has(key) and t.get(key) is None:
            t.ignore(key, "")
        return None
    pictures = pictures_per_step(t)
    known = f"{pictures} pictures a step"
    if pictures is None:
        pictures, known = (
            DEFAULT_BATCH,
            f"{DEFAULT_BATCH} pictures a step, NetsPresso's default: no file says",
        )
    ours = rate * REFERENCE_PICTURES / max(1, pictures)
    t.map(key, (*OPTIMIZER, "lr_per_16"), ours, f"{rate:g} was for {known}")
    return rate


def _setting(t: Translation, name: str, ours: str) -> None:
    key = _place(t, OPTIMIZER, name)
    if not t.has(key):
        return
    if name == "momentum" and ours == "adamw":
        t.ignore(key, "it is of SGD")
    elif t.number(key) is not None:
        how = (
            "not of biases and norms, which theirs decays unless told not to"
            if name == "weight_decay"
            else ""
        )
        t.map(key, (*OPTIMIZER, name), t.get(key), how)
    elif t.get(key) is None:
        t.ignore(key, "")


def _fixed(t: Translation, name: str) -> None:
    """Settings that Foveal does not vary."""
    betas, nesterov = (*OPTIMIZER, "betas"), (*OPTIMIZER, "nesterov")
    if t.has(betas):
        if t.get(betas) == BETAS:
            t.used(betas, "Foveal's are the same")
        else:
            t.ignore(betas, "Foveal's are 0.9 and 0.999", warning=True)
    if t.has(nesterov):
        if t.get(nesterov) or name == "nesterov":
            t.ignore(nesterov, "Foveal's SGD has plain momentum", warning=True)
        else:
            t.used(nesterov, "plain momentum, as here")
    for flag in ("no_bias_decay", "no_norm_weight_decay"):
        key = (*OPTIMIZER, flag)
        if t.has(key) and t.get(key):
            t.used(key, "as always here")
        elif t.has(key):
            t.ignore(key, "Foveal never decays biases and norms")


def _scheduler(t: Translation, rate: float | None) -> None:
    key = _place(t, SCHEDULER, "name", "sched")
    epochs = t.number((*TRAINING, "epochs"))
    if t.has(key):
        _schedule(t, key, epochs, rate)
    warmup = _place(t, SCHEDULER, "warmup_epochs")
    if t.has(warmup):
        if t.number(warmup) == 0:
            t.map(warmup, (*TRAINING, "schedule", "warmup_steps"), 0)
        else:
            why = (
                "Foveal's warm-up is in steps: write training.schedule.warmup_steps, epochs x steps an epoch"
            )
            t.ignore(warmup, why, warning=True)
    end = (*SCHEDULER, "end_epoch")
    if t.has(end):
        if t.number(end) == epochs and epochs is not None:
            t.used(end, "the end of the run")
        else:
            t.ignore(end, "Foveal's schedule ends with the run")
    t.ignore_known(SCHEDULER, SCHEDULER_REASONS)
    t.ignore_known(
        TRAINING, {name: SCHEDULER_REASONS[name] for name in FLAT_SCHEDULER if name in SCHEDULER_REASONS}
    )


def _schedule(t: Translation, key: Key, epochs: float | None, rate: float | None) -> None:
    name: Any = t.get(key)
    ours: Key = (*TRAINING, "schedule")
    phase, floor = _place(t, SCHEDULER, "iters_per_phase"), _place(t, SCHEDULER, "min_lr")
    if name in ("cosine_no_sgdr", "cosine"):
        restarts = name == "cosine" and (t.number(phase) or epochs or 0) < (epochs or 0)
        t.map(key, (*ours, "name"), "cosine", "without its restarts" if restarts else "")
        low = t.number(floor)
        if low is not None and rate:
            t.map(floor, (*ours, "final_factor"), low / rate, "a share of the rate")
    elif name == "step" and epochs and (t.number(phase) or 0) >= 1:
        period = t.number(phase) or 1.0
        shares = [count * period / epochs for count in range(1, int((epochs - 1) // period) + 1)]
        t.map(key, (*ours, "name"), "steps")
        t.map(phase, (*ours, "milestones"), shares, "shares of the run")
        gamma = (*SCHEDULER, "gamma")
        if t.number(gamma) is not None:
            t.map(gamma, (*ours, "drop"), t.get(gamma))
    elif name == "multi_step" and epochs and isinstance(t.get((*SCHEDULER, "milestones")), list):
        milestones = (*SCHEDULER, "milestones")
        t.map(key, (*ours, "name"), "steps")
        t.map(milestones, (*ours, "milestones"), [epoch / epochs for epoch in t.get(milestones)], "shares")
        gamma = (*SCHEDULER, "gamma")
        if t.number(gamma) is not None:
            t.map(gamma, (*ours, "drop"), t.get(gamma))
    elif name in ("poly", "step", "multi_step"):
        t.ignore(key, f"Foveal has no {name} schedule of this kind; its cosine stands in", warning=True)
    else:
        known = "cosine_no_sgdr, cosine, poly, step, multi_step"
        t.ledger.fault(t.origin(key), f"scheduler {name!r} is not known; NetsPresso has {known}")


def _ema(t: Translation) -> None:
    if t.has(EMA) and t.get(EMA) is None:
        t.map(EMA, EMA, None)
        return
    name, decay, beta = ((*EMA, part) for part in ("name", "decay", "beta"))
    if t.number(decay) is not None:
        t.map(decay, (*EMA, "decay"), t.get(decay))
    elif t.has(decay):
        t.ignore(decay, "")
    if t.has(name):
        if t.get(name) in ("constant_decay", "exp_decay"):
            t.map(name, (*EMA, "warmup"), t.get(name) == "exp_decay")
        else:
            known = "constant_decay, exp_decay"
            t.ledger.fault(t.origin(name), f"ema {t.get(name)!r} is not known; NetsPresso has {known}")
    if t.has(beta):
        t.ignore(beta, "Foveal's decay grows as (1 + step) / (10 + step), theirs as 1 - exp(-step / beta)")
