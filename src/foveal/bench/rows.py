"""The rows of the table by name, in its order."""

from __future__ import annotations

from foveal.bench import (
    decoding,
    evaluation,
    focal_loss,
    matching,
    postprocess,
    prediction,
    quantised,
    techniques,
    training_step,
)
from foveal.bench.case import Cases

ROWS: dict[str, Cases] = {
    "prediction": prediction.cases,
    "quantised": quantised.cases,
    "techniques": techniques.cases,
    "training_step": training_step.cases,
    "focal_loss": focal_loss.cases,
    "matching": matching.cases,
    "postprocess": postprocess.cases,
    "decoding": decoding.cases,
    "evaluation": evaluation.cases,
}
