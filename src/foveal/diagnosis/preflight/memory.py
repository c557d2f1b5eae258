"""How much memory a training step takes, part by part, before it is tried."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from foveal.build import build_criterion, build_detector, with_class_balance
from foveal.config.load import data_of
from foveal.config.schema import AdamW, Config
from foveal.diagnosis.finding import Finding
from foveal.engine.device import device_type
from foveal.ops.letterbox import canvas_size
from foveal.types import Target

PROBE_SIDE, PROBE_BATCH = 256, 2
"""Canvas and pictures of the pass that is looked at; what it keeps grows with the pixels. Two pictures, as a batch
norm has nothing to average over on one picture's coarsest level."""
BOXES = 7
"""COCO's mean of a picture."""
CUDA_CONTEXT = 500 * 2**20
"""Of the driver and the libraries, about; not in torch's own figures."""
MiB, GiB = 2**20, 2**30


class MemoryEstimate(NamedTuple):
    """Bytes of one training step."""

    parameters: int
    gradients: int
    optimizer: int
    average: int
    """Of the weights (EMA)."""
    batch: int
    """Pictures and their normalised copy."""
    activations: int
    """Kept from forward to backward."""
    pictures: int
    """In a step's micro-batch."""
    device: str

    @property
    def peak(self) -> int:
        """Upper end of a step inside torch: gradients appear while activations go."""
        fixed = self.parameters + self.optimizer + self.average + self.batch
        return fixed + self.activations + self.gradients

    @property
    def per_picture(self) -> float:
        """What one more picture costs."""
        return (self.activations + self.batch) / self.pictures

    def lines(self) -> list[str]:
        """The parts, for a person."""
        names = ("parameters", "gradients", "optimizer", "average", "batch", "activations")
        parts = ", ".join(f"{name} {_size(getattr(self, name))}" for name in names if getattr(self, name))
        more = f", and about {_size(CUDA_CONTEXT)} of the driver's" if self.device == "cuda" else ""
        return [
            f"memory of a step of {self.pictures} pictures on {self.device}: about {_size(self.peak)}{more}",
            f"  {parts}",
        ]


def estimate_memory(config: Config, classes: int) -> MemoryEstimate:
    """Parts of a step's memory for a configuration, from a pass of two small pictures on the CPU.

    Activations are all tensors that autograd keeps, each storage once, scaled to the batch and canvas. On the CPU
    the peak that torch counts was 0.83 to 0.94 times the estimate (MobileNetV2 and ResNet-50 at 256 px); on CUDA
    the workspaces of convolutions, and what the allocator cannot reuse, come on top.
    """
    training = config.training
    device = device_type(training.device)
    model = with_class_balance(config.model, [1] * classes)
    with torch.random.fork_rng(devices=[]):
        detector = build_detector(model, classes, pretrained=False).train()
        parameters = sum(_bytes(p) for p in detector.parameters())
        buffers = sum(_bytes(b) for b in detector.buffers())
        trained = sum(_bytes(p) for p in detector.parameters() if p.requires_grad)
        height, width = canvas_size(*data_of(config).image_size)
        probe = min(height, PROBE_SIDE), min(width, PROBE_SIDE)
        kept = _kept(detector, build_criterion(model), probe, training.precision != "fp32")
    scale = height * width / (probe[0] * probe[1]) * training.batch_size / PROBE_BATCH
    moments = 2 if isinstance(training.optimizer, AdamW) else int(training.optimizer.momentum > 0)
    return MemoryEstimate(
        parameters + buffers,
        trained,
        moments * trained,
        parameters + buffers if training.ema is not None else 0,
        training.batch_size * 3 * height * width * (1 + 4),
        round(kept * scale),
        training.batch_size,
        device,
    )


def memory_findings(estimate: MemoryEstimate) -> list[Finding]:
    """An error where a step needs more than the device has free, with the batch that fits."""
    free = free_memory(estimate.device)
    if free is None:
        return []
    need = estimate.peak + (CUDA_CONTEXT if estimate.device == "cuda" else 0)
    if need <= free:
        return []
    rest = free - (need - estimate.per_picture * estimate.pictures)
    fits = max(0, int(0.9 * rest / estimate.per_picture))
    message = f"a step needs about {_size(need)}, and {_size(free)} are free on {estimate.device}"
    if fits < 1:
        fix = "make data.image_size smaller, or choose a smaller backbone or neck"
    else:
        times = -(-estimate.pictures // fits)
        fix = f"set training.batch_size={fits} training.accumulate={times}, or make data.image_size smaller"
    return [Finding("memory", "error", "training.batch_size", message, fix)]


def free_memory(device: str) -> int | None:
    """Bytes that a program may still take; None where the system does not say."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            line = next(line for line in stream if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if hasattr(os, "sysconf") else None


def _kept(detector: torch.nn.Module, criterion: torch.nn.Module, size: tuple[int, int], half: bool) -> int:
    """Bytes that autograd keeps of one pass of PROBE_BATCH pictures, parameters and buffers not counted."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*detector.parameters(), *detector.buffers())}
    storages: dict[int, int] = {}
    held = []  # so that no storage's address is given out twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    images = torch.zeros(PROBE_BATCH, 3, *size, dtype=torch.uint8)
    side = torch.linspace(size[0] / 8, size[0] / 2, BOXES)[:, None]
    boxes = torch.cat([side.expand(-1, 2) / 2, side.expand(-1, 2) * 1.5], dim=1)
    labels = torch.zeros(BOXES, dtype=torch.int64)
    target = Target(boxes, labels, torch.zeros(BOXES, dtype=torch.bool))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = detector(images)
        losses = criterion(outputs, [target] * PROBE_BATCH).losses
    del outputs, losses
    return sum(storages.values())


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _size(count: float) -> str:
    return f"{count / GiB:.1f} GiB" if count >= GiB else f"{count / MiB:.0f} MiB"
