"""Tensors under our names -> the state dict of the network that the settings build; nothing may be left over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from foveal.checkpoint.transfer import COUNTER
from foveal.convert.renaming import Renamed, first_of
from foveal.convert.report import Entry
from foveal.errors import ModelFileError

PIXELS = ("mean", "scale")
"""Ours keeps the pixels' normalisation among its tensors; it comes from the settings."""
OUR_EPS = 1e-5
"""Of every batch norm that we build."""


def change_eps(renamed: Renamed, theirs: float) -> None:
    """Batch norm with another epsilon as one with ours: gamma takes the quotient of the deviations."""
    if theirs == OUR_EPS:
        return
    for name, variance in list(renamed.tensors.items()):
        if not re.fullmatch(r"backbone\..*\.running_var", name):
            continue
        target = name.replace("running_var", "weight")
        factor = ((variance.double() + OUR_EPS) / (variance.double() + theirs)).sqrt()
        gamma = renamed.tensors.get(target)
        if gamma is None:
            continue  # its absence is told where the weights are counted
        renamed.tensors[target] = (gamma.double() * factor).to(gamma.dtype)
        _note(renamed, target, f"epsilon {theirs:g} of batch norm to {OUR_EPS:g}")


def place_subnets(renamed: Renamed, head_norm: str) -> None:
    """``cls_subnet.2.conv.weight`` -> ``cls_subnet.4.weight``, or ``.6.weight`` with norms between."""
    step = 2 if head_norm == "none" else 3
    for name in list(renamed.tensors):
        match = re.fullmatch(r"head\.(cls|box)_subnet\.(\d+)\.(conv|norm)\.(\w+)", name)
        if match is None:
            continue
        if step == 3 and match[3] == "conv" and match[4] == "bias":
            _take_bias(renamed, name)
            continue
        place = int(match[2]) * step + (match[3] == "norm")
        _move(renamed, name, f"head.{match[1]}_subnet.{place}.{match[4]}")


def keep_rows(renamed: Renamed, rows: Sequence[int], num_anchors: int, num_classes: int) -> None:
    """Rows of the class layer: those of the classes that are kept, anchor by anchor."""
    if tuple(rows) == tuple(range(num_classes)):
        return
    places = [anchor * num_classes + row for anchor in range(num_anchors) for row in rows]
    for name in ("head.cls_logits.weight", "head.cls_logits.bias"):
        if name in renamed.tensors and len(renamed.tensors[name]) == num_anchors * num_classes:
            renamed.tensors[name] = renamed.tensors[name][places]
            _note(renamed, name, f"{len(rows)} of {num_classes} rows of each anchor kept")


def fit(path: Path, renamed: Renamed, wanted: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """The whole state dict. wanted: that of the network built. ModelFileError names the first misfit."""
    optional = {name for name in wanted if name in PIXELS or name.endswith(COUNTER)}
    missing = [name for name in wanted if name not in renamed.tensors and name not in optional]
    left = [name for name in renamed.tensors if name not in wanted]
    if left:
        entry = renamed.entries[left[0]]
        raise ModelFileError(
            f"{path}: {entry.name} {list(entry.shape)} has no place in {network} ({len(left)} without a place, "
            f"{len(missing)} places without a weight); its architecture is another"
        )
    if missing:
        raise ModelFileError(
            f"{path}: holds no weight for {first_of(missing)} of {network}; the file is incomplete"
        )
    state = dict(wanted)
    for name, tensor in renamed.tensors.items():
        entry = renamed.entries[name]
        if tensor.shape != wanted[name].shape:
            raise ModelFileError(
                f"{path}: {entry.name} is {list(tensor.shape)}, and {name} of {network} is "
                f"{list(wanted[name].shape)}; its architecture is another"
            )
        if not tensor.isfinite().all():
            raise ModelFileError(f"{path}: {entry.name} holds NaN or infinity; take another checkpoint")
        if tensor.dtype != wanted[name].dtype:
            kinds = (str(kind).removeprefix("torch.") for kind in (tensor.dtype, wanted[name].dtype))
            _note(renamed, name, " to ".join(kinds))
        state[name] = tensor.to(wanted[name].dtype)
    return state


def check_anchors(path: Path, pattern: str, tensors: Mapping[str, Tensor], cells: Sequence[Tensor]) -> None:
    """Anchors that a file holds must be those of the settings, in their order. cells: [A, 4] per level."""
    for name, tensor in tensors.items():
        match = re.fullmatch(pattern, name) if pattern else None
        if match is None:
            continue
        level = int(match[1])
        cell = cells[level] if level < len(cells) else tensor[:0]
        if tensor.shape != cell.shape or not torch.allclose(tensor.float(), cell, rtol=1e-3, atol=0.01):
            sides = (tensor[:, 2:] - tensor[:, :2]).prod(dim=1).sqrt() if tensor.ndim == 2 else tensor
            raise ModelFileError(
                f"{path}: {name} has anchors of sides {sorted({round(s, 1) for s in sides.flatten().tolist()})}, "
                "not those of the settings or in another order; give model.architecture.head.params.anchor_sizes= "
                "and ...aspect_ratios="
            )


def _take_bias(renamed: Renamed, name: str) -> None:
    """A convolution's bias in front of a norm, which ours has not: into the norm's mean, or nowhere if it is 0."""
    entry, bias = renamed.entries.pop(name), renamed.tensors.pop(name)
    mean = name.replace("conv.bias", "norm.running_mean")
    match = re.fullmatch(r"head\.(cls|box)_subnet\.(\d+)\.conv\.bias", name)
    placed = f"head.{match[1]}_subnet.{int(match[2]) * 3 + 1}.running_mean" if match else ""
    for target in (mean, placed):
        if target in renamed.tensors:
            renamed.tensors[target] = renamed.tensors[target] - bias
            _note(renamed, target, "less the bias of the convolution before it")
            renamed.entries[entry.name] = entry._replace(
                fate="transformed", target=target, note="into the norm's mean"
            )
            return
    if bias.count_nonzero():
        renamed.entries[name], renamed.tensors[name] = entry, bias
        return
    renamed.entries[entry.name] = Entry(
        entry.name, entry.shape, "ignored", "", "zero, and ours has none before a norm"
    )


def _move(renamed: Renamed, name: str, target: str) -> None:
    renamed.tensors[target] = renamed.tensors.pop(name)
    renamed.entries[target] = renamed.entries.pop(name)._replace(target=target)


def _note(renamed: Renamed, name: str, note: str) -> None:
    entry = renamed.entries[name]
    both = f"{entry.note}; {note}" if entry.note else note
    renamed.entries[name] = entry._replace(fate="transformed", note=both)
