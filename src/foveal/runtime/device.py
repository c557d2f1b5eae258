"""Where tensors live: the name a person gives -> a torch device."""

from __future__ import annotations

import torch

from foveal.engine.device import device_type


def resolve_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU; ``cpu``, ``cuda``, ``cuda:1``, ``mps`` mean themselves.

    UsageError for another name, or where this machine lacks the device.
    """
    kind = device_type(name)
    return torch.device(kind if name == "auto" else name)
