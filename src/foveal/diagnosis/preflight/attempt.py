"""One attempt to learn eight pictures by heart: neck and head on features that are computed once."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveal.config.schema import AdamW, Training
from foveal.diagnosis.preflight.case import Case
from foveal.engine.optim import build_optimizer, set_rate
from foveal.metrics.coco import CocoEvaluator
from foveal.models.inference import InferenceModel
from foveal.types import BatchDetections, HeadOutputs, LossOutput

STEPS = 150
WARMUP = 10
CHECK_EVERY = 25
"""Steps between two looks at the AP50."""
PASS = 0.9
REFERENCE_RATE = 2e-3
"""AdamW's for 16 pictures a step: with it, the pictures of every set at hand were learned."""
CLIP = 10.0
TIMED = 2


class Attempt(NamedTuple):
    """How it went."""

    losses: list[float]
    """Before each step."""
    ap50: float
    diverged: bool
    outputs: HeadOutputs | None
    """Of the eight pictures after the last step."""


class Trainee(nn.Module):
    """Neck and head: what is trained."""

    def __init__(self, neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.neck = neck
        self.head = head

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        outputs: HeadOutputs = self.head(self.neck(features))
        return outputs


class Bench:
    """Runs attempts, each from the same first weights."""

    def __init__(self, case: Case, features: list[Tensor]) -> None:
        self.case = case
        self.features = features
        self.trainee = Trainee(case.detector.neck, case.detector.head).train()
        self._learning: list[nn.Module] = [self.trainee]
        if isinstance(case.criterion, nn.Module):  # a running normaliser, where it has one
            self._learning.append(case.criterion)
        self._first = [copy.deepcopy(module.state_dict()) for module in self._learning]
        self.precision = torch.float32

    def loss(self, train: bool = False) -> LossOutput:
        """Of the eight pictures, with the weights of now; train: with a graph for backward."""
        device = self.features[0].device.type
        with torch.set_grad_enabled(train):
            with torch.autocast(device, torch.bfloat16, enabled=self.precision is torch.bfloat16):
                outputs = self.trainee(self.features)
            return self.case.criterion(outputs, self.case.batch.targets)

    def seconds_per_step(self) -> float:
        """Of a training step, in the faster of float32 and bfloat16, which is then used."""
        times: dict[torch.dtype, float] = {}
        for precision in (torch.float32, torch.bfloat16):
            self.precision = precision
            took = []
            for _ in range(1 + TIMED):
                began = time.perf_counter()
                losses = self.loss(train=True).losses
                torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
                self.trainee.zero_grad()
                took.append(time.perf_counter() - began)
            times[precision] = min(took[1:])
        self.precision = min(times, key=times.__getitem__)
        return times[self.precision]

    def run(
        self, settings: Training, steps: int, say: Callable[[str], None], measure: bool = True
    ) -> Attempt:
        """Train for so many steps, or until the pictures are known; measure: look at the AP50 on the way."""
        for module, state in zip(self._learning, self._first, strict=True):
            module.load_state_dict(state)
        optimizer = build_optimizer(self.trainee, settings)
        losses: list[float] = []
        for step in range(steps):
            set_rate(optimizer, _factor(step, steps))
            total = torch.stack([v.float() for v in self.loss(train=True).losses.values()]).sum()
            losses.append(float(total.detach()))
            if not math.isfinite(losses[-1]):
                return Attempt(losses, 0.0, True, None)
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.trainee.parameters(), CLIP)
            optimizer.step()
            if measure and (step + 1) % CHECK_EVERY == 0 and step + 1 < steps:
                attempt = self._measured(losses)
                say(f"step {step + 1}: loss {losses[-1]:.3f}, AP50 {attempt.ap50:.3f}")
                if attempt.ap50 > PASS:
                    return attempt
        return self._measured(losses) if measure else Attempt(losses, 0.0, False, None)

    def _measured(self, losses: list[float]) -> Attempt:
        with torch.no_grad():
            self.trainee.eval()
            outputs = self.trainee(self.features)
            self.trainee.train()
        return Attempt(list(losses), ap50(self.case, outputs, self.case.inference), False, outputs)


def ap50(case: Case, outputs: HeadOutputs, inference: InferenceModel) -> float:
    """AP50 of raw outputs on what is measured; 0 where nothing is finite."""
    detections = inference.postprocess(outputs, case.canvas)
    if not all(bool(part.isfinite().all()) for part in (detections.boxes, detections.scores)):
        return 0.0
    evaluator = CocoEvaluator(case.truth.ground_truth())
    evaluator.update(BatchDetections(*(part.cpu() for part in detections)), case.batch)
    return evaluator.compute()["AP50"] or 0.0


def reference(config: Training, pictures: int) -> Training:
    """Settings that are known to learn a few pictures."""
    changes: dict[str, Any] = {"optimizer": AdamW(lr_per_16=REFERENCE_RATE, weight_decay=0.0)}
    return own(config, pictures).model_copy(update=changes)


def own(config: Training, pictures: int) -> Training:
    """The configuration's optimiser and rate for a step of so many pictures."""
    return config.model_copy(update={"batch_size": pictures, "accumulate": 1, "precision": "fp32"})


def _factor(step: int, steps: int) -> float:
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))
