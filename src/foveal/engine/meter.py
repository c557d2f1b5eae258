"""Means of losses and stats, kept on the device until someone looks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from foveal.engine.processes import summed, world_size


class Meter:
    """Weighted means by name. ``add`` never waits for the device; ``means`` does, once for all names.

    A value of more than one element (positives per pyramid level) is averaged element by element and read back
    as ``name.0``, ``name.1``, ...
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Take in one value each, ``weight`` times."""
        for name, value in values.items():
            added = value.detach().float() * weight if weight != 1.0 else value.detach().float()
            self._sums[name] = self._sums[name] + added if name in self._sums else added
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def means(self, everywhere: bool = False) -> dict[str, float]:
        """Mean of everything added since the last ``reset``; nothing added gives an empty dict.

        everywhere: over all processes, every one of which asks at the same time and has added as much.
        """
        if not self._sums:
            return {}
        means = torch.cat([self._sums[name].reshape(-1) / self._weights[name] for name in self._sums])
        flat = (summed(means) / world_size() if everywhere else means).tolist()
        named: dict[str, float] = {}
        for name, total in self._sums.items():
            part, flat = flat[: total.numel()], flat[total.numel() :]
            if total.ndim == 0:
                named[name] = part[0]
            else:
                named.update({f"{name}.{index}": value for index, value in enumerate(part)})
        return named

    def reset(self) -> None:
        """Forget everything added."""
        self._sums.clear()
        self._weights.clear()


class EpochTotals:
    """Sums over one epoch by name, kept on the device until someone looks."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._whole = False

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor], begins: bool) -> None:
        """Take in a micro-batch's; begins: it is the first of its epoch."""
        if begins:
            self._sums, self._whole = {}, True
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def values(self) -> dict[str, float]:
        """Sums so far, each element as ``name.0``, ...; empty where the run was taken up inside the epoch.

        Over all processes, every one of which asks at the same time.
        """
        if not self._whole:
            return {}
        return {
            f"{name}.{index}": value
            for name, total in self._sums.items()
            for index, value in enumerate(summed(total).reshape(-1).tolist())
        }
