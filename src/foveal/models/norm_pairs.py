"""Which batch norm follows which convolution, read off one real pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.models.frozen_norm import FrozenBatchNorm2d

Norm = nn.BatchNorm2d | FrozenBatchNorm2d


class NormPair(NamedTuple):
    """A convolution whose output goes into a batch norm and nowhere else; that norm has no other input."""

    conv: nn.Conv2d
    norm: Norm


def find_norm_pairs(module: nn.Module, probe: Any) -> list[NormPair]:
    """Every pair inside a module, in the order of its own modules.

    probe: input of a small pass in evaluation mode; the module comes back as it was. A pair may be used
    several times in a pass, as the subnets of a head are on every level. A convolution that changes its
    weight on the way (weight standardisation, parametrisations) belongs to no pair.
    """
    modes = {part: part.training for part in module.modules()}
    flow = _Flow(module)
    try:
        module.eval()
        with torch.no_grad(), flow.watching_norms(), flow:
            flow.leave(module(probe))
    finally:
        for part, training in modes.items():
            part.training = training
    return flow.pairs()


class _Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the outputs of convolutions through a pass."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
        shared = Counter(id(conv.weight) for conv in convs)
        self.convs = {id(conv.weight): conv for conv in convs if shared[id(conv.weight)] == 1}
        self.norms = [part for part in module.modules() if isinstance(part, Norm)]
        self.outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
        """Output of every convolution by its id; kept alive, so that no id is given twice."""
        self.consumers: dict[nn.Conv2d, set[nn.Module | None]] = {}
        """Norms that take a convolution's outputs; None for anything else."""
        self.sources: dict[nn.Module, set[nn.Conv2d | None]] = {}
        """Convolutions that a norm's inputs come from; None for anything else."""
        self.current: nn.Module | None = None

    @contextmanager
    def watching_norms(self) -> Iterator[None]:
        """Note what each norm is given, and which operations are its own."""
        handles = []
        for norm in self.norms:
            handles.append(norm.register_forward_pre_hook(self._enter))
            handles.append(norm.register_forward_hook(self._exit))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._consume((args, kwargs), self.current)
        result = function(*args, **(kwargs or {}))
        conv = self.convs.get(id(args[1])) if function is torch.ops.aten.convolution.default else None
        if conv is not None:
            self.outputs[id(result)] = conv, result
        return result

    def leave(self, result: Any) -> None:
        """What the pass returns is used by someone outside."""
        self._consume(result, None)

    def pairs(self) -> list[NormPair]:
        """Convolutions with one consumer whose only source they are."""
        found = []
        for conv in self.convs.values():
            (norm, *others) = self.consumers.get(conv, {None})
            if isinstance(norm, Norm) and not others and self.sources[norm] == {conv}:
                found.append(NormPair(conv, norm))
        return found

    def _consume(self, values: Any, consumer: nn.Module | None) -> None:
        for tensor in _tensors(values):
            if id(tensor) in self.outputs:
                self.consumers.setdefault(self.outputs[id(tensor)][0], set()).add(consumer)

    def _enter(self, norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        conv, _ = self.outputs.get(id(args[0]), (None, None))
        self.sources.setdefault(norm, set()).add(conv)
        self.current = norm

    def _exit(self, norm: nn.Module, args: Any, output: Any) -> None:
        self.current = None


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
