"""The largest few of millions of numbers, without sorting or copying them.

However numbers are put into groups, the k largest lie in the k groups of largest maximum. One pass over all
numbers finds the maxima, at the speed of memory; what is left is small, and is searched in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 16
"""Numbers in a group. They stand far apart, so that the maxima of neighbouring groups are found side by side:
maxima of a row (the classes of an anchor) would cost twice the time."""


def topk(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest entries of each matrix of a batch by falling value, and their places: [B, min(k, n * K)] each.

    rows: [B, n, K]. Place p is row p // K and column p % K. Of equal entries any may be taken.
    """
    return _by_rows(rows, k) if torch.compiler.is_compiling() else _by_groups(rows.flatten(1), k)


def _by_rows(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One round with a row as a group: as a graph it holds for any number of rows."""
    batch, count, width = rows.shape
    best = rows.amax(dim=2).topk(min(k, count), dim=1).indices  # [B, r]
    kept = rows.gather(1, best[:, :, None].expand(batch, -1, width)).flatten(1)
    value, place = kept.topk(min(k, kept.shape[1]), dim=1)
    row = best.gather(1, torch.div(place, width, rounding_mode="floor"))
    return value, row * width + place % width


def _by_groups(values: Tensor, k: int, in_order: bool = True) -> tuple[Tensor, Tensor]:
    """The largest of [B, n] and their places, [B, min(k, n)] each."""
    count = values.shape[1]
    groups = count // GROUP
    if groups < 2 * k:
        return values.topk(min(k, count), dim=1, sorted=in_order)
    # Number i of group j stands at place i * groups + j.
    whole = groups * GROUP
    grouped = values[:, :whole].unflatten(1, (GROUP, groups))
    _, best = _by_groups(grouped.amax(dim=1), k, in_order=False)
    kept = grouped.gather(2, best[:, None].expand(-1, GROUP, -1)).flatten(1)
    value, place = kept.topk(k, dim=1, sorted=in_order and whole == count)
    place = torch.div(place, k, rounding_mode="floor") * groups + best.gather(1, place % k)
    if whole == count:
        return value, place
    # What fills no group competes with the winners.
    rest = torch.arange(whole, count, device=values.device).expand(len(values), -1)
    value, order = torch.cat([value, values[:, whole:]], dim=1).topk(k, dim=1, sorted=in_order)
    return value, torch.cat([place, rest], dim=1).gather(1, order)
