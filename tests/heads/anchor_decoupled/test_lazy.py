"""Boxes only where they are wanted: the same detections, from less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foveal.heads.anchor_decoupled import AnchorDecoder, AnchorDecoupledHead, decode_lazily
from foveal.heads.anchor_decoupled.lazy import reach_of
from foveal.heads.anchor_decoupled.network import NormType
from foveal.ops.nms import suppress
from foveal.types import BatchDetections, Candidates

STRIDES = (8, 16, 32)
GRIDS = ((20, 26), (10, 13), (5, 7))
CANVAS = (160, 208)
CLASSES, ANCHORS, LAYERS = 3, 2, 2
REACH = LAYERS + 1
QUIET, LOUD = -9.0, 3.0
"""Logits far below and above the threshold."""

Place = tuple[int, int, int, int]
"""Picture, level, row, column."""


def make_head(norm_type: NormType = "none", spread: float = 20) -> AnchorDecoupledHead:
    torch.manual_seed(0)
    sizes = [[4.0 * s, 5.0 * s] for s in STRIDES]
    head = AnchorDecoupledHead(16, CLASSES, STRIDES, sizes, [1.0], LAYERS, norm_type).eval()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if parameter.ndim == 4:
                parameter.mul_(spread)
            elif "subnet" in name:
                parameter.uniform_(-0.5, 0.5)  # a bias that shows where zeros were put instead of cells
    return head


def make_features(batch: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = (torch.randn(batch, 16, *grid, generator=generator) for grid in GRIDS)
    return [x.to(dtype).contiguous(memory_format=torch.channels_last) for x in maps]


def make_logits(batch: int, places: list[Place], dtype: torch.dtype) -> list[Tensor]:
    """Maps with one loud class in the cells given, each a little less loud than the one before."""
    maps = [torch.full((batch, ANCHORS * CLASSES, *grid), QUIET, dtype=dtype) for grid in GRIDS]
    for i, (picture, level, row, column) in enumerate(places):
        height, width = GRIDS[level]
        maps[level][picture % batch, i % (ANCHORS * CLASSES), row % height, column % width] = LOUD - 0.001 * i
    return maps


class Watched:
    """``head.regress`` that notes which sizes it is given."""

    def __init__(self, head: AnchorDecoupledHead) -> None:
        self.head = head
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.sizes.append((x.shape[2], x.shape[3]))
        return self.head.regress(x)


@torch.no_grad()
def both(
    head: AnchorDecoupledHead,
    logits: list[Tensor],
    features: list[Tensor],
    decoder: AnchorDecoder | None = None,
) -> tuple[Candidates, Candidates, list[tuple[int, int]]]:
    """Candidates by the lazy way and by the whole maps, and what the lazy way looked at."""
    decoder = decoder or AnchorDecoder(50)
    watched = Watched(head)
    lazy = decode_lazily(head, decoder, logits, features, watched, CANVAS)
    whole = head(features)
    rows = tuple(x.permute(0, 2, 3, 1).reshape(len(x), -1, CLASSES) for x in logits)
    return lazy, decoder(whole._replace(cls_logits=rows), CANVAS), watched.sizes


def assert_same(found: Candidates, expected: Candidates, atol: float = 1e-3) -> BatchDetections:
    """Everywhere but in the boxes of empty places; detections."""
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.labels, expected.labels)
    taken = expected.scores > 0
    torch.testing.assert_close(found.boxes[taken], expected.boxes[taken], rtol=0, atol=atol)
    assert found.boxes.isfinite().all()
    ours, theirs = suppress(found), suppress(expected)
    assert torch.equal(ours.count, theirs.count)
    torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=0, atol=atol)
    return ours


places = st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 19), st.integers(0, 25))


@settings(max_examples=25, deadline=None)
@given(
    found=st.lists(places, max_size=12),
    batch=st.integers(1, 2),
    norm_type=st.sampled_from(["none", "group_norm", "instance_norm"]),
)
def test_same_candidates(found: list[Place], batch: int, norm_type: Any) -> None:
    logits = make_logits(batch, found, torch.float32)
    assert_same(*both(make_head(norm_type), logits, make_features(batch))[:2])


@settings(max_examples=10, deadline=None)
@given(found=st.lists(places, max_size=6))
def test_same_candidates_in_bf16(found: list[Place]) -> None:
    """A part of a map is convolved in another order, and rounded more coarsely."""
    head = make_head(spread=10)
    for parameter in head.parameters():
        parameter.data = parameter.data.bfloat16()
    logits = make_logits(1, found, torch.bfloat16)
    assert_same(*both(head, logits, make_features(1, torch.bfloat16))[:2], atol=1.0)


def test_every_anchor_wanted() -> None:
    head, features = make_head(spread=30), make_features(2)
    with torch.no_grad():
        logits = [head.classify(x) + 3 for x in features]
    lazy, whole, sizes = both(head, logits, features, AnchorDecoder(5000, 0.0))
    assert sizes == list(GRIDS)
    assert (whole.scores > 0).all()
    assert_same(lazy, whole)


def test_nothing_to_box() -> None:
    lazy, whole, sizes = both(make_head(), make_logits(1, [], torch.float32), make_features(1))
    assert sizes == []
    assert assert_same(lazy, whole).count.tolist() == [0]


def test_a_level_without_candidate_is_not_looked_at() -> None:
    for norm_type in ("none", "group_norm"):
        _, _, sizes = both(
            make_head(norm_type), make_logits(1, [(0, 2, 2, 3)], torch.float32), make_features(1)
        )
        assert sizes == [GRIDS[2]]


@pytest.mark.parametrize(
    ("found", "size"),
    [
        ([(0, 0, 10, 12)], (2 * REACH + 1, 2 * REACH + 1)),
        ([(0, 0, 10, 12), (0, 0, 12, 10)], (2 * REACH + 3, 2 * REACH + 3)),
        ([(0, 0, 0, 0)], (REACH + 1, REACH + 1)),
        ([(0, 0, 19, 25)], (REACH + 1, REACH + 1)),
        ([(0, 0, 0, 12), (0, 0, 19, 12)], (20, 2 * REACH + 1)),
        ([(0, 0, 2, 12), (1, 0, 2, 20)], (2 + REACH + 1, 9 + 2 * REACH)),
    ],
)
def test_the_window_is_no_larger_than_needed(found: list[Place], size: tuple[int, int]) -> None:
    lazy, whole, sizes = both(make_head(), make_logits(2, found, torch.float32), make_features(2))
    assert sizes == [size]
    assert assert_same(lazy, whole).count.sum() == len(found)


def test_one_cell_less_would_be_wrong() -> None:
    """The reach is needed: a smaller window gives other boxes."""
    head, x = make_head(), make_features(1)[0]
    with torch.no_grad():
        whole = head.regress(x)[:, :, 10, 12]
        for reach, same in ((REACH, True), (REACH - 1, False)):
            part = x[:, :, 10 - reach : 11 + reach, 12 - reach : 13 + reach]
            close = torch.allclose(head.regress(part)[:, :, reach, reach], whole, atol=1e-5)
            assert close == same


def test_reach() -> None:
    assert reach_of(make_head().box_subnet) == REACH
    for norm_type in ("group_norm", "instance_norm", "batch_norm"):
        assert reach_of(make_head(norm_type).box_subnet) is None
