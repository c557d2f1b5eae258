"""Length, rate, schedule and parameter groups."""

import math

import pytest
import torch
from torch import nn

from foveal.config.schema import AdamW, Ema, Schedule, Sgd, Training
from foveal.engine.optim import (
    build_optimizer,
    describe_run,
    gradient_norm,
    parameter_groups,
    peak_rate,
    run_length,
    schedule_factor,
    set_rate,
)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 3}, 3 * 26),
        ({"max_steps": 17}, 17),
        ({"max_steps": 17, "epochs": 3}, 17),
        ({"epochs": 3, "accumulate": 4}, 3 * 7),
        ({}, 39 * 26),  # 12 epochs are 312 steps: as many epochs as make 1,000
    ],
)
def test_length_in_optimiser_steps(settings, steps):
    assert run_length(Training(**settings), 26).steps == steps


def test_default_length_of_a_large_set_is_twelve_epochs():
    assert run_length(Training(), 5000).epochs == 12


def test_last_group_of_an_epoch_is_what_is_left():
    length = run_length(Training(epochs=1, accumulate=4), 10)
    assert [length.group_size(batch) for batch in range(10)] == [4] * 8 + [2] * 2
    assert [batch for batch in range(10) if length.ends_step(batch)] == [3, 7, 9]
    assert length.steps == 3


def test_rate_is_per_sixteen_pictures():
    settings = Training(batch_size=4, accumulate=2, optimizer=AdamW(lr_per_16=1e-3))
    assert peak_rate(settings, world_size=4) == pytest.approx(2e-3)
    assert peak_rate(settings) == pytest.approx(5e-4)


def test_warm_up_is_linear_and_a_tenth_at_most():
    factors = [schedule_factor(step, 50, Schedule(warmup_steps=100)) for step in range(6)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5] == pytest.approx(1.0)


def test_cosine_halves_in_the_middle_and_ends_at_the_final_factor():
    schedule = Schedule(warmup_steps=0, final_factor=0.2)
    assert schedule_factor(500, 1000, schedule) == pytest.approx(0.6)
    assert schedule_factor(999, 1000, schedule) == pytest.approx(0.2, abs=1e-4)
    assert schedule_factor(1000, 1000, schedule) == pytest.approx(0.2)
    falling = [schedule_factor(step, 1000, schedule) for step in range(1001)]
    assert falling == sorted(falling, reverse=True)


def test_steps_drop_at_their_shares():
    schedule = Schedule(name="steps", warmup_steps=0, milestones=[0.5, 0.75], drop=0.1)
    factors = [schedule_factor(step, 100, schedule) for step in (0, 49, 50, 74, 75, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_constant_stays():
    assert schedule_factor(99, 100, Schedule(name="constant")) == 1.0


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.neck = nn.Conv2d(4, 4, 1)
        self.norm = nn.LayerNorm([4, 5])
        self.shared = self.neck
        self.backbone[0].bias.requires_grad_(False)


def test_groups_part_backbone_and_decay_and_leave_frozen_out():
    model = Model()
    settings = Training(
        optimizer=AdamW(lr_per_16=1e-3, weight_decay=0.1, backbone_lr_factor=0.5), batch_size=16
    )
    groups = {group["name"]: group for group in parameter_groups(model, settings)}
    members = {name: {id(p) for p in group["params"]} for name, group in groups.items()}
    assert members == {
        "backbone": {id(model.backbone[0].weight)},
        "backbone, no decay": {id(model.backbone[1].weight), id(model.backbone[1].bias)},
        "model": {id(model.neck.weight)},
        "model, no decay": {id(model.neck.bias), id(model.norm.weight), id(model.norm.bias)},
    }
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        "backbone": 0.1,
        "backbone, no decay": 0.0,
        "model": 0.1,
        "model, no decay": 0.0,
    }
    assert groups["backbone"]["lr"] == pytest.approx(5e-4)
    assert groups["model"]["lr"] == pytest.approx(1e-3)


@pytest.mark.parametrize("chosen", [AdamW(), Sgd(name="sgd")])
def test_optimiser_follows_the_factor(chosen):
    optimizer = build_optimizer(Model(), Training(optimizer=chosen, batch_size=16))
    assert type(optimizer).__name__.lower() == chosen.name
    set_rate(optimizer, 0.5)
    set_rate(optimizer, 0.25)
    assert {group["lr"] for group in optimizer.param_groups} == {chosen.lr_per_16 / 4}


def test_what_the_settings_come_to_is_told_in_three_lines():
    assert describe_run(Training(max_steps=500, batch_size=16, clip_grad_norm=None), 50, "cuda") == [
        "length: 500 steps (max_steps), 10 epochs of 50 steps; 16 pictures a step",
        "optimizer: adamw, rate 0.0005, weight decay 0.05, cosine after 50 warm-up steps",
        "running: fp32 on cuda, seed 0",
    ]
    sgd = Sgd(name="sgd", backbone_lr_factor=0.1)
    settings = Training(epochs=2, batch_size=4, accumulate=4, optimizer=sgd, ema=Ema(decay=0.9998), seed=3)
    assert describe_run(settings, 10, "cpu", world_size=2) == [
        "length: 6 steps (epochs), 2 epochs of 3 steps; 32 pictures a step (4 x 4 batches x 2 processes), "
        "an epoch's last step has 2 of 4 batches",
        "optimizer: sgd, rate 0.02 (backbone 0.002), weight decay 0.0001, cosine after 0 warm-up steps",
        "running: fp32 on cpu, seed 3, gradients clipped at 10, moving average of the weights 0.9998",
    ]


def test_gradient_norm_is_over_all_parameters():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(9))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert math.isclose(gradient_norm(parameters).item(), 5.0)
    assert gradient_norm([nn.Parameter(torch.zeros(1))]).item() == 0
