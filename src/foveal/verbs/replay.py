"""``foveal train --replay``: the step that ended a run again, to see where it breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from foveal.build import build_criterion, build_detector, build_records
from foveal.config.load import data_of, load_config
from foveal.config.schema import Config
from foveal.engine.guard import BAD_BATCH
from foveal.engine.replay import Replayed, replay_step
from foveal.engine.saving import DamagedError, load_sealed
from foveal.errors import FovealError, ModelFileError, UsageError
from foveal.runtime.device import resolve_device
from foveal.types import Batch, Letterbox, Target
from foveal.verbs.training_data import picture_names

CONFIG_FILE = "config.yaml"


class Replay(NamedTuple):
    """What was found, for a program and for a person."""

    step: Replayed
    faults: tuple[str, ...]
    """Of the boxes in the batch."""
    lines: tuple[str, ...]


def replay(file: Path, device: str | None = None) -> Replay:
    """Do the step of a run's ``bad_batch.pt`` again in float32 and name the first tensor that is not finite.

    file: or the run's folder; the run's config.yaml lies beside it. device: default: the configuration's.
    UsageError where a file is missing, ModelFileError where it is not what a run writes.
    """
    file = file / BAD_BATCH if file.is_dir() else file
    state = _load(file)
    config_file = file.parent / CONFIG_FILE
    if not config_file.is_file():
        raise UsageError(f"{file}: the run's {CONFIG_FILE} has to lie beside it")
    settings = load_config(config_file)
    batch = batch_of(state["batch"])
    params = settings.model.architecture.head.params
    anchors = len(params.scaled_sizes()[0]) * len(params.aspect_ratios)
    bias = state["model"].get("head.cls_logits.bias")
    if bias is None:
        raise ModelFileError(f"{file}: its weights are not those of a detector")
    classes = len(bias) // anchors
    detector = build_detector(settings.model, classes, pretrained=False)
    criterion = build_criterion(settings.model)
    try:
        detector.load_state_dict(state["model"])
        criterion.load_state_dict(state.get("criterion", {}), strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelFileError(f"{file}: not of the model in {config_file} ({reason})") from error
    faults = tuple(box_faults(batch, classes))
    place = resolve_device(device or settings.training.device)
    on_device = batch._replace(
        images=batch.images.to(place),
        targets=tuple(Target(*(part.to(place) for part in target)) for target in batch.targets),
    )
    step = replay_step(detector.to(place), criterion.to(place), on_device)
    return Replay(step, faults, tuple(_lines(file, state, settings, batch, step, faults)))


def batch_of(values: dict[str, Any]) -> Batch:
    """A batch from the plain values that a run saved."""
    return Batch(
        values["images"],
        tuple(Target(**target) for target in values["targets"]),
        tuple(values["image_ids"]),
        tuple(Letterbox(**letterbox) for letterbox in values["letterboxes"]),
    )


def box_faults(batch: Batch, classes: int) -> list[str]:
    """What is wrong with the boxes and labels of a batch, a line for each kind and picture."""
    lines = []
    for image_id, target in zip(batch.image_ids, batch.targets, strict=True):
        width, height = (target.boxes[:, 2:] - target.boxes[:, :2]).unbind(1)
        kinds = {
            "with a number that is not finite": ~target.boxes.isfinite().all(dim=1),
            "without area": (width <= 0) | (height <= 0),
            f"of a class outside of 0..{classes - 1}": (target.labels < 0) | (target.labels >= classes),
        }
        for kind, rows in kinds.items():
            if bool(rows.any()):
                lines.append(f"picture {image_id}: {int(rows.sum())} of {len(rows)} boxes {kind}")
    return lines


def _lines(
    file: Path, state: dict[str, Any], settings: Config, batch: Batch, step: Replayed, faults: tuple[str, ...]
) -> list[str]:
    lines = [f"{file}: step {state['step']}; in training the first bad tensor was: {state['bad']}"]
    lines.append(f"pictures: {', '.join(_names(settings, batch))}")
    lines += [f"labels: {fault}" for fault in faults]
    losses = ", ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
    if step.bad:
        lines.append(
            f"in float32: first bad tensor: {step.bad}" + (f"; {step.detail}" if step.detail else "")
        )
        if losses:
            lines.append(f"losses: {losses}")
        return lines
    lines.append(f"in float32 the step is finite: {losses}, gradient norm {step.gradient_norm:.4g}")
    precision = settings.training.precision
    lines.append(
        f"what broke is the range or precision of {precision}: set training.precision=fp32, or lower the rate"
        if precision != "fp32"
        else "what broke is not in these pictures and weights alone (dropout draws anew; another device rounds "
        "otherwise)"
    )
    return lines


def _names(settings: Config, batch: Batch) -> list[str]:
    """The pictures, with their files where the data set is still there."""
    try:
        data = data_of(settings)
        name: Callable[[int], str] = picture_names(build_records(data.train, data.classes))
    except FovealError:
        name = str
    return [name(picture) for picture in batch.image_ids]


def _load(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UsageError(f"{file}: no such file; a run that diverges leaves {BAD_BATCH} in its folder")
    try:
        state = load_sealed(file)
    except DamagedError as fault:
        raise ModelFileError(f"{file}: damaged, or not a saved batch ({fault})") from fault
    if not {"batch", "model", "step", "bad"} <= set(state):
        raise ModelFileError(f"{file}: not a batch that foveal train saved with its weights")
    return state
