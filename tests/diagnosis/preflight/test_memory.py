"""The estimate against what a step takes by torch's own count."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foveal.bench.memory import torch_memory_of
from foveal.build import build_criterion, build_detector
from foveal.diagnosis.preflight import memory as module
from foveal.diagnosis.preflight.memory import estimate_memory, memory_findings
from foveal.engine.optim import build_optimizer
from foveal.types import Target

FACTOR = 1.5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("backbone", ["mobilenetv2_050", "resnet10t"])
def test_the_estimate_is_near_the_measured_peak(make_config: Any, backbone: str, precision: str) -> None:
    config = make_config(
        f"model.architecture.backbone.name={backbone}",
        "data.image_size=[192, 320]",
        f"training.precision={precision}",
        "training.batch_size=3",
    )
    estimate = estimate_memory(config, 3)
    detector = build_detector(config.model, 3).train()
    criterion = build_criterion(config.model)
    optimizer = build_optimizer(detector, config.training)
    images = torch.randint(0, 255, (3, 3, 192, 320), dtype=torch.uint8)
    box = Target(torch.tensor([[20.0, 20, 60, 60]]), torch.zeros(1, dtype=torch.int64), torch.zeros(1).bool())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs = detector(images)
        losses = criterion(outputs, [box] * 3).losses
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    _, measured = torch_memory_of(step)
    # Weights and the optimiser's state were there before the step that is measured.
    held = estimate.parameters + estimate.optimizer
    ratio = (measured.peak + held) / estimate.peak
    assert 1 / FACTOR < ratio < FACTOR, ratio
    assert estimate.parameters == sum(
        x.numel() * x.element_size() for x in detector.state_dict().values()
    ) + (
        sum(
            b.numel() * b.element_size()
            for n, b in detector.named_buffers()
            if n not in detector.state_dict()
        )
    )


def test_activations_grow_with_batch_and_canvas_and_settings_with_their_parts(make_config: Any) -> None:
    base = estimate_memory(make_config(), 3)
    assert estimate_memory(make_config("training.batch_size=8"), 3).activations == pytest.approx(
        2 * base.activations, rel=1e-6
    )
    assert base.optimizer == 2 * base.gradients
    assert base.average == 0
    assert estimate_memory(make_config("training.ema={decay: 0.9}"), 3).average == base.parameters
    sgd = estimate_memory(make_config("training.optimizer={name: sgd}"), 3)
    assert sgd.optimizer == base.gradients
    assert all(name in base.lines()[1] for name in ("parameters", "gradients", "optimizer", "activations"))


def test_what_does_not_fit_is_an_error_with_a_batch_that_does(
    make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = estimate_memory(make_config("training.batch_size=64"), 3)
    monkeypatch.setattr(module, "free_memory", lambda _: estimate.peak + 1)
    assert memory_findings(estimate) == []
    monkeypatch.setattr(module, "free_memory", lambda _: estimate.peak // 2)
    found = memory_findings(estimate)
    assert [finding.rule for finding in found] == ["memory"]
    batch = int(found[0].fix.split("batch_size=")[1].split()[0])
    smaller = estimate_memory(make_config(f"training.batch_size={batch}"), 3)
    assert 0 < smaller.peak <= estimate.peak // 2
