"""The largest few of millions of numbers, without sorting or copying them.

However numbers are put into groups, the k largest lie in the k groups of largest maximum, and those above a
bound in the groups whose maximum is above it. One pass over all numbers finds the maxima, at the speed of
memory; what is left is small, and is searched in the same way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foveal.ops.fixed_size import needs_fixed_size

GROUP = 16
"""Numbers in a group. They stand far apart, so that the maxima of neighbouring groups are found side by side:
maxima of a row (the classes of an anchor) would cost twice the time."""
FEW = 2
"""So many times k numbers above a bound are taken as they are; of more, the k largest are searched."""


def topk(rows: Tensor, k: int | None, above: float = -math.inf) -> tuple[Tensor, Tensor]:
    """The largest entries of each matrix of a batch by falling value, and their places: [B, min(k, n * K)] each.

    rows: [B, n, K]. Place p is row p // K and column p % K. Of equal entries any may be taken. above: entries
    up to this value are of no use; they may be missing, so that the results have fewer columns, or be there.
    k: None is all.
    """
    k = rows.shape[1] * rows.shape[2] if k is None else k
    if torch.compiler.is_compiling():
        return _by_rows(rows, k)
    alone = len(rows) == 1 and not needs_fixed_size(rows)
    return _by_groups(rows.flatten(1), k, above if alone else -math.inf)


def _by_rows(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One round with a row as a group: as a graph it holds for any number of rows."""
    batch, count, width = rows.shape
    best = rows.amax(dim=2).topk(min(k, count), dim=1).indices  # [B, r]
    kept = rows.gather(1, best[:, :, None].expand(batch, -1, width)).flatten(1)
    value, place = kept.topk(min(k, kept.shape[1]), dim=1)
    row = best.gather(1, torch.div(place, width, rounding_mode="floor"))
    return value, row * width + place % width


def _by_groups(values: Tensor, k: int, above: float, last: bool = True) -> tuple[Tensor, Tensor]:
    """The largest of [B, n] and their places, [B, m] each: m <= k; before the last round FEW * k, unordered."""
    count = values.shape[1]
    groups = count // GROUP
    if groups < 2 * k:
        return _by_looking(values, k, above, last)
    # Number i of group j stands at place i * groups + j.
    whole = groups * GROUP
    grouped = values[:, :whole].unflatten(1, (GROUP, groups))
    _, best = _by_groups(grouped.amax(dim=1), k, above, last=False)
    found = best.shape[1]
    kept = grouped.gather(2, best[:, None].expand(-1, GROUP, -1)).flatten(1)
    if whole < count:  # what fills no group competes with the winners
        kept = torch.cat([kept, values[:, whole:]], dim=1)
    # k groups were chosen among many more above the bound: there is nothing for it to leave out.
    value, chosen = _by_looking(kept, k, -math.inf if found == k else above, last)
    if not found:
        return value, chosen + whole
    group = torch.div(chosen, found, rounding_mode="floor")
    place = group * groups + best.gather(1, chosen % found)
    if whole < count:
        place = torch.where(group < GROUP, place, chosen + (whole - GROUP * found))
    return value, place


def _by_looking(values: Tensor, k: int, above: float, last: bool) -> tuple[Tensor, Tensor]:
    """The same of few numbers, by looking at each of them."""
    if above > -math.inf:
        # In float32: rounded to the type of the values, the bound could hide one that is above it.
        place = (values.float() > above).nonzero()[None, :, 1]
        if place.shape[1] <= FEW * k:
            value = values.gather(1, place)
            if not last:
                return value, place
            value, order = value.topk(min(k, value.shape[1]), dim=1)
            return value, place.gather(1, order)
    return values.topk(min(k, values.shape[1]), dim=1, sorted=last)
