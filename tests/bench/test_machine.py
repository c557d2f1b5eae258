"""The machine in words."""

from __future__ import annotations

import os

import pytest
import torch

from foveal.bench import machine
from foveal.bench.clock import Lap


def test_describes_processor_threads_and_versions() -> None:
    said = machine.describe("cpu")
    assert f"{os.cpu_count()} cores, {torch.get_num_threads()} threads" in said
    assert f"torch {torch.__version__}" in said
    assert said.split(";")[0].strip()


def test_on_cuda_the_gpu_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert machine.describe("cuda").startswith("NVIDIA H200; ")


def test_floors_follow_from_sizes_and_the_best_times(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.5, 0.25, 1, 1, 1, 4.0, 2.0, 9, 9, 9])
    monkeypatch.setattr(machine, "cuda_lap", lambda work: Lap(next(times), 0.0))
    monkeypatch.setattr(machine.torch, "randn", lambda *shape, **_: None)
    floors = machine.measure_floors()
    assert floors.bandwidth == 2 * machine.COPY_BYTES / 0.25
    assert floors.arithmetic == 2 * machine.MATRIX**3 / 2.0
