"""Why eight pictures were not learned, from what the attempt left behind; each cause by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveal.build import build_inference
from foveal.config.schema import PostprocessorParams
from foveal.diagnosis.finding import Finding
from foveal.diagnosis.preflight.attempt import PASS, Attempt, ap50
from foveal.diagnosis.preflight.case import Case
from foveal.diagnosis.preflight.labels import READINGS
from foveal.ops.iou import box_iou
from foveal.types import HeadOutputs

FOUND = 0.7
"""Share of the boxes that some detection covers: from here the boxes are learned, whatever their classes."""
AGREE = 0.5
"""Share of the found boxes whose class is right; under it, classes are mixed up on the way."""
HARDLY = 0.1
"""Of the reference's fall of the loss: an optimiser that does less does nothing."""
STILL_FALLING = 0.9
LOW_SCORE = 0.001
NAMED = 4


def after_findings(case: Case, attempt: Attempt, steps: int) -> list[Finding]:
    """What explains an AP50 that is too low; at least one finding."""
    if attempt.diverged or attempt.outputs is None:
        message = f"the loss is not finite at step {len(attempt.losses)}"
        return [Finding("not_finite", "error", "data.train", message, "run foveal doctor on the labels")]
    found = [*_postprocessor(case, attempt.outputs), *_classes_and_boxes(case, attempt.outputs)]
    return found or [_frozen_random(case) or _unexplained(attempt, steps)]


def rate_finding(own: Attempt, reference: list[float], rate: float, good: float) -> Finding | None:
    """The configuration's own optimiser against one that is known to work, over the same steps."""
    fell, wanted = own.losses[0] - own.losses[-1], reference[0] - reference[: len(own.losses)][-1]
    where = "training.optimizer.lr_per_16"
    fix = f"set it so that 8 pictures a step get about {good:.2g}, as the test did, which passes with it"
    if own.diverged or own.losses[-1] > 1.5 * own.losses[0]:
        end = "infinity" if own.diverged else f"{own.losses[-1]:.3g}"
        message = (
            f"at a rate of {rate:.2g} the loss goes from {own.losses[0]:.3g} to {end} in {len(own.losses)} steps: "
            "the rate is too high"
        )
        return Finding("learning_rate", "error", where, message, fix)
    if fell < HARDLY * wanted:
        message = (
            f"at a rate of {rate:.2g} the loss hardly moves ({own.losses[0]:.3g} to {own.losses[-1]:.3g} in "
            f"{len(own.losses)} steps; AdamW at {good:.2g} takes {wanted:.3g} off it)"
        )
        high = own.losses[-1] > own.losses[0] or max(own.losses) > 2 * own.losses[0]
        return Finding(
            "learning_rate", "error", where, f"{message}: it is too {'high' if high else 'low'}", fix
        )
    return None


def _postprocessor(case: Case, outputs: HeadOutputs) -> Iterator[Finding]:
    """Settings that throw good detections away: with the default instead, the test passes."""
    params = case.config.model.postprocessor.params
    usual: dict[str, Any] = {**PostprocessorParams().model_dump(), "score_thresh": LOW_SCORE}
    for name, value in usual.items():
        if getattr(params, name) == value:
            continue
        changed = params.model_copy(update={name: value})
        model = case.config.model.model_copy(
            update={"postprocessor": case.config.model.postprocessor.model_copy(update={"params": changed})}
        )
        score = ap50(case, outputs, build_inference(case.detector, model))
        if score > PASS:
            rule = "threshold" if name == "score_thresh" else "postprocessor"
            message = f"AP50 is {score:.3f} with {name} {value}, and fails with {getattr(params, name)}"
            where = f"model.postprocessor.params.{name}"
            yield Finding(
                rule, "error", where, message, f"set {name} to {PostprocessorParams().model_dump()[name]}"
            )
            return


class _Matches(NamedTuple):
    """Boxes to find, and the best detection of each."""

    iou: Tensor
    """[M] the largest of any detection."""
    wanted: Tensor
    got: Tensor
    """[M] labels."""


def _classes_and_boxes(case: Case, outputs: HeadOutputs) -> Iterator[Finding]:
    """Boxes that are right but for their classes, or but for the order of their numbers."""
    plain = _match(case, outputs, None)
    found = plain.iou >= 0.5
    share = float(found.float().mean())
    if share >= FOUND:
        right = (plain.wanted == plain.got)[found].float().mean()
        if float(right) < AGREE:
            yield _class_map(case, plain, found, float(right))
        return
    for name in READINGS:
        other = float((_match(case, outputs, name).iou >= 0.5).float().mean())
        if other >= max(0.5, 2 * share):
            message = (
                f"{100 * other:.0f} % of the boxes are found, but as {name}: as x1, y1, x2, y2 "
                f"{100 * share:.0f} % are"
            )
            fix = "training and evaluation read the boxes in two orders: give x1, y1, x2, y2 to both"
            yield Finding("box_order", "error", "data", message, fix)
            return


def _class_map(case: Case, matches: _Matches, found: Tensor, right: float) -> Finding:
    names = case.truth.classes.names
    pairs = Counter(zip(matches.wanted[found].tolist(), matches.got[found].tolist(), strict=True))
    wrong = [(pair, n) for pair, n in pairs.most_common() if pair[0] != pair[1]][:NAMED]
    shown = ", ".join(f"'{names[want]}' found as '{names[got]}' ({n} times)" for (want, got), n in wrong)
    message = (
        f"the boxes are right ({100 * float(found.float().mean()):.0f} % found), their classes are not "
        f"({100 * right:.0f} % agree): {shown}"
    )
    fix = "what is trained on and what is measured number the classes differently: compare their class lists"
    return Finding("class_map", "error", "data.classes", message, fix)


def _match(case: Case, outputs: HeadOutputs, reading: str | None) -> _Matches:
    """reading: what the boxes to find are taken for, as if they had been written in that order."""
    params = case.config.model.postprocessor.params.model_copy(update={"score_thresh": LOW_SCORE})
    model = case.config.model.model_copy(
        update={"postprocessor": case.config.model.postprocessor.model_copy(update={"params": params})}
    )
    detections = build_inference(case.detector, model).postprocess(outputs, case.canvas)
    ious, wanted, got = [], [], []
    for row, (boxes, labels) in enumerate(case.truth_on_canvas()):
        if reading == "y1, x1, y2, x2":
            boxes = READINGS[reading](boxes)
        elif reading is not None:  # right boxes, of which a reader took width and height for a corner
            boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
        count = int(detections.count[row])
        # Best first: among those that cover a box well, the surest says its class.
        overlap = box_iou(boxes[:, None].expand(-1, count, 4), detections.boxes[row, :count].float())
        covers = overlap >= 0.5
        ious.append(overlap.amax(dim=1) if count else boxes.new_zeros(len(boxes)))
        first = covers.int().argmax(dim=1) if count else boxes.new_zeros(len(boxes), dtype=torch.int64)
        wanted.append(labels)
        got.append(detections.labels[row, :count][first] if count else torch.full_like(labels, -1))
    return _Matches(torch.cat(ious), torch.cat(wanted), torch.cat(got))


def _frozen_random(case: Case) -> Finding | None:
    params = case.config.model.architecture.backbone.params
    if params.weights is not None or params.batch_norm == "trained":
        return None
    where = "model.architecture.backbone.params"
    message = "the backbone has random weights and frozen norms: nothing in it will ever be fit for pictures"
    return Finding("random_backbone", "error", where, message, "give weights, or set batch_norm: trained")


def _unexplained(attempt: Attempt, steps: int) -> Finding:
    tail = attempt.losses[-max(1, len(attempt.losses) // 5) :]
    before = attempt.losses[-2 * len(tail) : -len(tail)] or tail
    falling = sum(tail) / len(tail) < STILL_FALLING * sum(before) / len(before)
    message = (
        f"AP50 is {attempt.ap50:.3f} after {steps} steps, the loss went from {attempt.losses[0]:.3g} to "
        f"{attempt.losses[-1]:.3g}"
    )
    if falling:
        return Finding("too_short", "warning", "", f"{message} and still falls", "try again with more steps")
    fix = "no known cause fits: look at the pictures with foveal train CONFIG --show-batch, and run foveal doctor"
    return Finding("unexplained", "error", "", message, fix)
