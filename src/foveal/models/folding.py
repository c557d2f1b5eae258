"""Batch norm folded into the convolutions before it, for inference: the same function in fewer passes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar, cast

import torch
from torch import nn

from foveal.models.frozen_norm import NormedConv2d, apply_to_weights, freeze_batch_norm
from foveal.models.norm_pairs import find_norm_pairs
from foveal.models.same_padding import SameConv2d

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def fold_batch_norm(module: M, probe: Any) -> M:
    """A copy for inference: every convolution does the work of the batch norm behind it, once and for all.

    probe: input of a small pass that shows which norm follows which convolution; it is on the module's device.
    Norms behind anything else stay as frozen ones. Activations fused into a norm stay in its place. Outputs are
    equal within float rounding; the names in the state dict are not the original's.
    """
    copy = cast(M, freeze_batch_norm(deepcopy(module))).eval()
    apply_to_weights(find_norm_pairs(copy, probe))
    instead = {conv.norm[0]: conv.norm[0].act for conv in copy.modules() if isinstance(conv, NormedConv2d)}
    for part in list(copy.modules()):
        if isinstance(part, NormedConv2d):
            _make_plain(part)
        for name, child in part.named_children():
            if child in instead:
                setattr(part, name, instead[child])
    return copy.requires_grad_(False)


def _make_plain(conv: NormedConv2d) -> None:
    """Turn it back into an ordinary convolution, with the weight it has been using."""
    weight, bias = conv.weight_and_bias()
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    conv.__class__ = SameConv2d if conv.same else nn.Conv2d  # type: ignore[assignment]
    del conv.norm
