"""One step again, slowly: where is the first number that is not finite?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveal.engine.optim import gradient_norm
from foveal.types import Batch, Criterion


class Replayed(NamedTuple):
    """What a step came to in float32."""

    bad: str
    """The first bad tensor in the order of the computation; "" where there is none."""
    detail: str
    """What autograd or the layer's input says about it."""
    losses: dict[str, float]
    gradient_norm: float | None
    """None where the computation ended before it."""


def replay_step(model: nn.Module, criterion: Criterion, batch: Batch) -> Replayed:
    """Forward, losses and backward in float32, in training mode, each number watched; no weight is changed.

    Looks at weights, then layers in order, then losses, then gradients from the last layer to the first.
    """
    model = model.float().train()
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            return Replayed(f"weight {name}", _range(value), {}, None)
    watch = _Watch(model)
    try:
        outputs = model(batch.images)
        if watch.forward:
            return Replayed(*watch.forward, {}, None)
        losses = criterion(outputs, batch.targets).losses
        values = {name: float(value.detach()) for name, value in losses.items()}
        bad = next((name for name, value in losses.items() if not bool(value.isfinite())), None)
        if bad is not None:
            return Replayed(
                f"loss {bad}", "all outputs of the network are finite: look at the boxes", values, None
            )
        return _backward(model, torch.stack(list(losses.values())).sum(), watch, values)
    finally:
        watch.stop()


def _backward(model: nn.Module, total: Tensor, watch: _Watch, losses: dict[str, float]) -> Replayed:
    model.zero_grad(set_to_none=True)
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that anomaly detection is slow, and the trace of its finding
        try:
            with torch.autograd.detect_anomaly():
                total.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            said = str(error).splitlines()[0]
    norm = float(gradient_norm([p for p in model.parameters() if p.requires_grad])) if not said else None
    if watch.backward:
        name, detail = watch.backward
        return Replayed(name, said or detail, losses, norm)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return Replayed(f"gradient of {name}", said or _range(parameter.grad), losses, norm)
    if said:
        return Replayed("gradient of the losses", said, losses, norm)
    model.zero_grad(set_to_none=True)
    return Replayed("", "", losses, norm)


class _Watch:
    """Hooks that remember the first output and the first gradient of a layer's output that is not finite."""

    def __init__(self, model: nn.Module) -> None:
        self.forward: tuple[str, str] | None = None
        self.backward: tuple[str, str] | None = None
        self._handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in model.named_modules()
            if not any(True for _ in module.children())
        ]

    def stop(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            for tensor in _tensors(output):
                if self.forward is None and not bool(tensor.isfinite().all()):
                    came = ", ".join(_range(x) for x in _tensors(inputs))
                    self.forward = (f"output of {name} ({type(module).__name__})", f"its input: {came}")
                if tensor.requires_grad:
                    tensor.register_hook(  # type: ignore[no-untyped-call]
                        self._gradient_hook(name, type(module).__name__)
                    )

        return look

    def _gradient_hook(self, name: str, kind: str) -> Callable[[Tensor], None]:
        def look(gradient: Tensor) -> None:
            if self.backward is None and not bool(gradient.isfinite().all()):
                self.backward = (f"gradient of the output of {name} ({kind})", _range(gradient))

        return look


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield from (values,) if values.is_floating_point() else ()
    elif isinstance(values, Sequence):
        for value in values:
            yield from _tensors(value)


def _range(x: Tensor) -> str:
    """How large it is, and how much of it is not finite."""
    good = x.detach()[x.detach().isfinite()]
    largest = f"up to {float(good.abs().max()):.3g}" if good.numel() else "no finite number"
    bad = x.numel() - good.numel()
    return f"{largest}, {bad} of {x.numel()} not finite" if bad else largest
