"""The hook of R5: ``foveal`` with losses and gradients that are spoilt, and weights looked at after every step.

FOVEAL_TORTURE_SPOIL='["nan", "fp32", 1, 0]' python tests/torture/spoiling.py train ...
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from runs_of import sha256

ALONE = (7, 8)
IN_A_ROW = tuple(range(12, 22))
"""Steps that are spoilt, the first being 1."""
HOOK = "FOVEAL_TORTURE_SPOIL"
LOG = "spoilt.jsonl"


class Case(NamedTuple):
    """One run."""

    kind: str
    """nan or inf: the loss; gradient: infinite where the loss is finite."""
    precision: str
    accumulate: int
    micro: int
    """Which micro-batch of a step is spoilt, from 0."""

    def __str__(self) -> str:
        return f"{self.kind} in {self.precision}, micro-batch {self.micro + 1} of {self.accumulate}"


def spoil(case: Case) -> None:
    """Put the hook in place, in this process, whose folder gets the log."""
    from foveal.engine.module import TrainingModule
    from foveal.verbs import replay, train

    log = Path(LOG)
    rows = map(json.loads, log.read_text().splitlines() if log.is_file() else ())
    before = {row["boxes"] for row in rows}
    training_step, build = TrainingModule.training_step, train.build_criterion

    def step(self: TrainingModule, batch: Any, index: int) -> None:
        number, at = self.run_progress.step + 1, self.run_progress.batch % case.accumulate
        spoilt = number in (*ALONE, *IN_A_ROW) and at == case.micro
        row = {"step": number, "spoilt": spoilt, "boxes": "", "pictures": list(batch.image_ids)}
        if spoilt:
            row["boxes"] = boxes_of(batch.targets)
            before.add(row["boxes"])
        try:
            training_step(self, batch, index)
        finally:
            weights = [self.model.state_dict(), self.average.state_dict() if self.average else {}]
            seen = {"finite": finite(weights), "weights": sha256(weights[0])}
            with log.open("a") as file:
                file.write(json.dumps({**row, **seen}) + "\n")

    def criterion(*words: Any) -> Any:
        plain = build(*words)
        forward = plain.forward

        def spoilt(outputs: Any, targets: Any) -> Any:
            found = forward(outputs, targets)
            if boxes_of(targets) not in before:
                return found
            name = next(iter(found.losses))
            return found._replace(
                losses={**found.losses, name: spoilt_loss(case.kind, found.losses[name], outputs)}
            )

        plain.forward = spoilt
        return plain

    TrainingModule.training_step = step  # type: ignore[method-assign]
    train.build_criterion = replay.build_criterion = criterion


def spoilt_loss(kind: str, loss: Any, outputs: Any) -> Any:
    """The loss as it is to be."""
    if kind == "gradient":  # the root's derivative at 0
        logits = outputs.cls_logits[0].float()
        return loss + (logits - logits.detach()).sqrt().sum()
    return loss * float(kind)


def boxes_of(targets: Any) -> str:
    """SHA-256 of the boxes and labels of a batch."""
    return sha256([part.cpu() for target in targets for part in (target.boxes, target.labels)])


def finite(value: Any) -> bool:
    """All numbers in it, at every depth."""
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


if __name__ == "__main__":
    from foveal.cli import main

    spoil(Case(*json.loads(os.environ[HOOK])))
    main()
