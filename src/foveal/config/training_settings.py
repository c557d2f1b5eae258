"""Section ``training``: length, optimiser and surroundings of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from foveal.config.section import Positive, Section, Share


class AdamW(Section):
    """AdamW."""

    name: Literal["adamw"] = "adamw"
    lr_per_16: Positive = Field(5e-4, description="learning rate for 16 pictures a step; scaled linearly")
    weight_decay: float = Field(0.05, ge=0)
    backbone_lr_factor: float = Field(1.0, ge=0)


class Sgd(Section):
    """SGD with momentum."""

    name: Literal["sgd"]
    lr_per_16: Positive = 0.01
    momentum: Share = 0.9
    weight_decay: float = Field(1e-4, ge=0)
    backbone_lr_factor: float = Field(1.0, ge=0)


class Schedule(Section):
    """Learning rate over the run."""

    name: Literal["cosine", "steps", "constant"] = "cosine"
    warmup_steps: int = Field(100, ge=0, description="linear warm-up; at most a tenth of the run")
    milestones: list[Share] = Field(
        [2 / 3, 8 / 9], description="steps: shares of the run where the rate drops"
    )
    drop: Positive = Field(0.1, description="steps: factor at each milestone")
    final_factor: float = Field(0.0, ge=0, description="cosine: last rate as a share of the first")


class Ema(Section):
    """Moving average of the weights; it is what is validated and saved."""

    decay: float = Field(0.999, gt=0, lt=1)
    warmup: bool = Field(
        True, description="decay grows as (1 + step) / (10 + step) until it reaches its value"
    )


class Training(Section):
    """Length, optimiser and surroundings of a run."""

    epochs: int | None = Field(None, gt=0, description="length in passes over the data")
    max_steps: int | None = Field(None, gt=0, description="length in optimiser steps; wins over epochs")
    batch_size: int = Field(8, gt=0, description="pictures per process and micro-batch")
    accumulate: int = Field(
        1, gt=0, description="micro-batches per optimiser step; each divides its losses by its own positives"
    )
    optimizer: Annotated[AdamW | Sgd, Field(discriminator="name")] = AdamW()
    schedule: Schedule = Schedule()
    clip_grad_norm: float | None = Field(
        10.0, gt=0, description="largest norm of all gradients; null: no clipping"
    )
    ema: Ema | None = Field(None, description="moving average of the weights; null: none")
    precision: Literal["fp32", "bf16", "16-mixed"] = Field("fp32", description="16-mixed needs a GPU")
    validate_every: int = Field(1, gt=0, description="epochs between validations")
    early_stopping: int | None = Field(
        None, gt=0, description="validations without a better AP before stopping"
    )
    seed: int = 0
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
