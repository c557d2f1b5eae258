"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foveal.config.schema import Ema


class WeightAverage:
    """Moving average of the trainable parameters: ``a <- d * a + (1 - d) * w`` after every optimiser step.

    Buffers (BatchNorm's statistics, which are averages already) and frozen parameters are the model's own.
    The averages have the parameters' device and memory layout.
    """

    def __init__(self, model: nn.Module, settings: Ema) -> None:
        self._model = model
        self._settings = settings
        named = [
            (name, p) for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()
        ]
        self._names = [name for name, _ in named]
        self._parameters: list[Tensor] = [parameter for _, parameter in named]
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self.updates = 0

    def decay(self) -> float:
        """Share of the old average that the next update keeps."""
        if not self._settings.warmup:
            return self._settings.decay
        return min(self._settings.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        torch._foreach_lerp_(self._averages, self._parameters, 1 - self.decay())
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the averages inside the block, and its own weights again after it."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averages and weights; twice is nothing. Copies, so that no one's reference goes stale."""
        kept = [parameter.detach().clone() for parameter in self._parameters]
        torch._foreach_copy_(self._parameters, self._averages)
        torch._foreach_copy_(self._averages, kept)

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict with the averages in place of the parameters (not while swapped)."""
        state = dict(self._model.state_dict())
        averages = dict(zip(self._names, self._averages, strict=True))
        return {name: averages.get(name, value).detach() for name, value in state.items()}

    def state_dict(self) -> dict[str, Any]:
        """State to resume from."""
        return {"updates": self.updates, "averages": dict(zip(self._names, self._averages, strict=True))}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state made by ``state_dict`` on the same model."""
        self.updates = int(state["updates"])
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(state["averages"][name])
