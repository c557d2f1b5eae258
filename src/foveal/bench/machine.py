"""The machine in words, and its floors: how fast it can move bytes and multiply at best."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision

from foveal.bench.clock import cuda_lap

COPY_BYTES = 2 << 30
MATRIX = 8192
PROBES = 5


class Floors(NamedTuple):
    """Best rates of a device, measured on it."""

    bandwidth: float
    """Bytes per second of a large copy, read and written."""
    arithmetic: float
    """Floating-point operations per second of a large bf16 matrix product."""

    def __str__(self) -> str:
        return f"{self.bandwidth / 1e9:.0f} GB/s, {self.arithmetic / 1e12:.0f} TFLOP/s in bf16"


def describe(device: str) -> str:
    """One line: processor, cores, threads, versions; on CUDA the GPU, too."""
    parts = [
        _processor(),
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads",
        f"torch {torch.__version__}, torchvision {torchvision.__version__}",
        f"Python {platform.python_version()}",
    ]
    if device == "cuda":
        parts.insert(0, torch.cuda.get_device_name())
    return "; ".join(parts)


def measure_floors() -> Floors:
    """Floors of the current CUDA device: best of a few large copies and matrix products."""
    source = torch.randn(COPY_BYTES // 4, device="cuda")
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    copy = min(cuda_lap(lambda: source.clone()).busy for _ in range(PROBES))
    product = min(cuda_lap(lambda: a @ b).busy for _ in range(PROBES))
    return Floors(2 * COPY_BYTES / copy, 2 * MATRIX**3 / product)


def _processor() -> str:
    """The processor's name, where Linux tells it."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
