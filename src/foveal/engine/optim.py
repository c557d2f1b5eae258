"""Length of a run, learning rate, parameter groups, optimiser: numbers only, no loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from foveal.config import schema

REFERENCE_PICTURES = 16
"""Learning rates are stated for this many pictures an optimiser step, and scaled linearly (Goyal et al. 2017)."""
DEFAULT_EPOCHS = 12
"""The paper's "1x" schedule on COCO, where neither epochs nor max_steps is given ..."""
DEFAULT_MIN_STEPS = 1000
"""... but small data sets get as many epochs as make this many steps."""

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)


class RunLength(NamedTuple):
    """How long a run is, in optimiser steps and in the micro-batches that make them.

    An epoch's micro-batches are grouped by ``accumulate``; what is left over at its end makes a smaller group
    of its own, averaged over the micro-batches it has: no picture is dropped, none is carried into the next
    epoch, and each step's gradient is a mean.
    """

    steps: int
    steps_per_epoch: int
    batches_per_epoch: int
    accumulate: int

    @property
    def epochs(self) -> int:
        """Epochs begun, the last of which may be cut short by ``max_steps``."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def group_size(self, batch: int) -> int:
        """Micro-batches in the step that micro-batch number ``batch`` (of its epoch, from 0) belongs to."""
        start = batch // self.accumulate * self.accumulate
        return min(self.accumulate, self.batches_per_epoch - start)

    def ends_step(self, batch: int) -> bool:
        """Whether the optimiser steps after micro-batch number ``batch`` of an epoch."""
        return (batch + 1) % self.accumulate == 0 or batch + 1 == self.batches_per_epoch


def run_length(settings: schema.Training, batches_per_epoch: int) -> RunLength:
    """Length from ``max_steps`` (wins), ``epochs``, or the default. batches_per_epoch: micro-batches, > 0."""
    steps_per_epoch = math.ceil(batches_per_epoch / settings.accumulate)
    if settings.max_steps is not None:
        steps = settings.max_steps
    elif settings.epochs is not None:
        steps = settings.epochs * steps_per_epoch
    else:
        steps = max(DEFAULT_EPOCHS, math.ceil(DEFAULT_MIN_STEPS / steps_per_epoch)) * steps_per_epoch
    return RunLength(steps, steps_per_epoch, batches_per_epoch, settings.accumulate)


def pictures_per_step(settings: schema.Training, world_size: int = 1) -> int:
    """Pictures behind one optimiser step, over all processes."""
    return settings.batch_size * settings.accumulate * world_size


def peak_rate(settings: schema.Training, world_size: int = 1) -> float:
    """Learning rate at factor 1: ``lr_per_16`` scaled to the pictures of a step."""
    return settings.optimizer.lr_per_16 * pictures_per_step(settings, world_size) / REFERENCE_PICTURES


def warmup_steps(settings: schema.Schedule, total: int) -> int:
    """Steps of linear warm-up: as set, at most a tenth of the run."""
    return min(settings.warmup_steps, total // 10)


def schedule_factor(step: int, total: int, settings: schema.Schedule) -> float:
    """Learning rate of optimiser step ``step`` (from 0) of ``total``, as a share of the peak rate.

    A pure function of the step, so that a resumed run needs no scheduler state; fits ``LambdaLR`` too.
    """
    warmup = warmup_steps(settings, total)
    if step < warmup:
        return (step + 1) / warmup
    if settings.name == "constant":
        return 1.0
    if settings.name == "steps":
        passed = sum(step >= share * total for share in settings.milestones)
        return float(settings.drop**passed)
    # A step after the last would be at the end of the cosine: the last one itself still learns.
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return settings.final_factor + (1 - settings.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))


def _named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Each trainable parameter once: name, parameter, whether weight decay applies to it."""
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            decays = parameter.ndim > 1 and leaf != "bias" and not isinstance(module, _NORMS)
            yield (f"{prefix}.{leaf}" if prefix else leaf), parameter, decays


def parameter_groups(
    model: nn.Module, settings: schema.Training, world_size: int = 1
) -> list[dict[str, Any]]:
    """Parameter groups: backbone or not, times decayed or not; frozen parameters are in none.

    Biases, norm layers and every other vector are not decayed. ``backbone_lr_factor`` applies to parameters
    whose name begins with ``backbone.``. Each group has ``name``, ``params``, ``lr`` and ``weight_decay``.
    """
    chosen = settings.optimizer
    rate = peak_rate(settings, world_size)
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for name, parameter, decays in _named_parameters(model):
        in_backbone = name.startswith("backbone.")
        group = groups.setdefault(
            (in_backbone, decays),
            {
                "name": ("backbone" if in_backbone else "model") + ("" if decays else ", no decay"),
                "params": [],
                "lr": rate * (chosen.backbone_lr_factor if in_backbone else 1.0),
                "weight_decay": chosen.weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def build_optimizer(model: nn.Module, settings: schema.Training, world_size: int = 1) -> Optimizer:
    """AdamW or SGD over ``parameter_groups``; groups keep their peak rate as ``initial_lr``."""
    groups = parameter_groups(model, settings, world_size)
    for group in groups:
        group["initial_lr"] = group["lr"]
    # One kernel for all parameters. Not with a gradient scaler: it must unscale before clipping.
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    fused = settings.precision != "16-mixed" and devices <= {"cpu", "cuda"} and bool(devices)
    if isinstance(settings.optimizer, schema.AdamW):
        return AdamW(groups, fused=fused)
    return SGD(groups, momentum=settings.optimizer.momentum, fused=fused)


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Give every group its peak rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def describe_run(
    settings: schema.Training, batches_per_epoch: int, device: str, world_size: int = 1
) -> list[str]:
    """What the settings come to for this data, in three lines for a person: length, optimiser, surroundings.

    batches_per_epoch: micro-batches of one process.
    """
    length = run_length(settings, batches_per_epoch)
    epochs = f"{round(length.steps / length.steps_per_epoch, 2):g}"
    if settings.max_steps is not None:
        source = "max_steps"
    else:
        source = "epochs" if settings.epochs is not None else "no length set"
    steps = f"{length.steps} steps ({source}), {epochs} epochs of {length.steps_per_epoch} steps"
    parts = [f"{settings.accumulate} batches"] if settings.accumulate > 1 else []
    parts += [f"{world_size} processes"] if world_size > 1 else []
    pictures = f"{pictures_per_step(settings, world_size)} pictures a step"
    if parts:
        pictures += f" ({settings.batch_size} x {' x '.join(parts)})"
    left_over = batches_per_epoch % settings.accumulate
    if left_over:
        pictures += f", an epoch's last step has {left_over} of {settings.accumulate} batches"

    chosen, rate = settings.optimizer, peak_rate(settings, world_size)
    rates = f"rate {rate:.4g}"
    if chosen.backbone_lr_factor != 1:
        rates += f" (backbone {rate * chosen.backbone_lr_factor:.4g})"
    schedule = f"{settings.schedule.name} after {warmup_steps(settings.schedule, length.steps)} warm-up steps"
    clip = "" if settings.clip_grad_norm is None else f", gradients clipped at {settings.clip_grad_norm:.4g}"
    average = "" if settings.ema is None else f", moving average of the weights {settings.ema.decay:.6g}"
    return [
        f"length: {steps}; {pictures}",
        f"optimizer: {chosen.name}, {rates}, weight decay {chosen.weight_decay:.4g}, {schedule}",
        f"running: {settings.precision} on {device}, seed {settings.seed}{clip}{average}",
    ]


def gradient_norm(parameters: list[nn.Parameter]) -> torch.Tensor:
    """Euclidean norm of all gradients together, a scalar on their device; 0 without gradients."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
