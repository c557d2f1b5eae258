"""The box subnet only where a class passes the threshold: the same detections from less work.

A box is looked at only where its anchor has a class above the threshold. A level without one needs no box
subnet, and where the subnet sees only a neighbourhood, the rest of a level needs no more than the window
around its candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled.decoder import AnchorDecoder, Picks
from foveal.heads.anchor_decoupled.network import AnchorDecoupledHead, rows_of
from foveal.types import Candidates

LOCAL = (nn.Sequential, nn.Conv2d, nn.ReLU, nn.Identity)
"""Layers whose output depends on a neighbourhood; a group or instance norm looks at the whole level."""


def decode_lazily(
    head: AnchorDecoupledHead,
    decoder: AnchorDecoder,
    logits: Sequence[Tensor],
    features: Sequence[Tensor],
    regress: Callable[[Tensor], Tensor],
    image_size: tuple[int, int],
) -> Candidates:
    """``decoder(head(features), image_size)``, but for the boxes of empty places, which are any.

    logits: ``head.classify`` of every level's features, finest first. regress: ``head.regress``, or what does the
    same. For eager inference with batch norms folded: what is computed depends on the picture. Boxes are equal
    within float rounding.
    """
    picks, deltas = [], []
    for level, x in enumerate(features):
        pick = decoder.pick(rows_of(logits[level], head.num_classes))
        picks.append(pick)
        deltas.append(_deltas(head, regress, x, pick, pick.logit > decoder.logit_thresh))
    return decoder.decode(picks, deltas, head.anchors(features), image_size)


def _deltas(
    head: AnchorDecoupledHead, regress: Callable[[Tensor], Tensor], x: Tensor, pick: Picks, wanted: Tensor
) -> Tensor:
    """[B, k, 4] deltas of one level's picks; those not wanted are any numbers."""
    height, width = x.shape[2:]
    cell = torch.div(pick.anchor, head.num_anchors, rounding_mode="floor")
    row, column = torch.div(cell, width, rounding_mode="floor"), cell % width
    window = _window(row[wanted], column[wanted], reach_of(head.box_subnet), height, width)
    if window is None:
        return x.new_zeros(*pick.anchor.shape, 4)
    crop = x[:, :, window.top : window.bottom, window.left : window.right]
    rows = rows_of(regress(crop), 4)
    inside = (row - window.top) * crop.shape[3] + column - window.left
    place = (inside * head.num_anchors + pick.anchor % head.num_anchors).clamp(0, rows.shape[1] - 1)
    return rows.gather(1, place[:, :, None].expand(-1, -1, 4))


class _Window(NamedTuple):
    """Cells of a level, end exclusive."""

    top: int
    bottom: int
    left: int
    right: int


def _window(rows: Tensor, columns: Tensor, reach: int | None, height: int, width: int) -> _Window | None:
    """All cells that the boxes of some cells depend on, cut at the border; None where there is no cell.

    Beyond the window the subnet sees zeros instead of cells; that error moves one cell inwards per convolution,
    and stops ``reach`` cells in, just before the first cell that is asked for.
    """
    if not len(rows):
        return None
    if reach is None:
        return _Window(0, height, 0, width)
    top, bottom, left, right = torch.stack([rows.min(), rows.max(), columns.min(), columns.max()]).tolist()
    return _Window(
        max(0, top - reach),
        min(height, bottom + reach + 1),
        max(0, left - reach),
        min(width, right + reach + 1),
    )


def reach_of(subnet: nn.Module) -> int | None:
    """Cells that a box looks away from its own, in each direction; None for the whole level.

    subnet: the layers before the last convolution, which is 3x3 like theirs.
    """
    if not all(isinstance(layer, LOCAL) for layer in subnet.modules()):
        return None
    return 1 + sum(isinstance(layer, nn.Conv2d) for layer in subnet.modules())
