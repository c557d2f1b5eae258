"""The form for CUDA: it waits for nothing, and its result is that of the form for the CPU.

Without a GPU, the first is shown on tensors that have a device and a shape but no values: whatever must know a
value, or takes its size from one, raises there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from foveal.heads.anchor_decoupled import criterion as criterion_room
from foveal.heads.anchor_decoupled import statistics as statistics_room
from foveal.heads.anchor_decoupled import targets as targets_room
from foveal.heads.anchor_decoupled.criterion import AnchorCriterion, focal, quality_focal
from foveal.heads.anchor_decoupled.network import AnchorDecoupledHead
from foveal.heads.anchor_decoupled.targets import Assigner, assign
from foveal.models.backbone import Backbone
from foveal.models.detector import Detector
from foveal.models.fpn import FeaturePyramid
from foveal.ops import matcher as matcher_room
from foveal.ops.anchors import cell_anchors, grid_anchors
from foveal.ops.atss import match_atss
from foveal.ops.matcher import match_iou
from foveal.types import AnchorLevel, HeadOutputs, Target

LEVELS = tuple(
    grid_anchors(
        cell_anchors([4.0 * stride, 5.0 * stride], [0.5, 1.0, 2.0]), stride, 128 // stride, 160 // stride
    )
    for stride in (8, 16, 32)
)
CLASSES = 3
BATCH = 3


class WaitError(Exception):
    """The host would wait for the device, or the device for the host's memory."""


class WithoutWaiting(TorchDispatchMode):
    """Refuses what stops the stream: a copy between devices that is not asked to go on by itself."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        devices = {x.device.type for x in tree_leaves((args, result)) if isinstance(x, Tensor) and x.ndim}
        if len(devices) > 1 and not (kwargs or {}).get("non_blocking"):
            raise WaitError(f"{function} between {sorted(devices)}")
        return result


def without_values(mode: FakeTensorMode, values: Any, device: str = "cuda") -> Any:
    """Tensors of a structure as ones that have a device and a shape alone."""

    def move(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        fake = mode.from_tensor(x.detach())
        with mode:
            return fake.to(device).requires_grad_(x.requires_grad)

    return tree_map(move, values)


def outputs_of(dtype: torch.dtype, seed: int = 0) -> HeadOutputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(columns: int, scale: float) -> tuple[Tensor, ...]:
        shapes = [(BATCH, len(level.boxes), columns) for level in LEVELS]
        drawn = [torch.randn(shape, generator=generator) * scale for shape in shapes]
        return tuple(x.to(dtype).requires_grad_() for x in drawn)

    return HeadOutputs(draw(CLASSES, 1.0), draw(4, 0.3), LEVELS)


def target_of(boxes: Tensor, crowd: Sequence[bool] = ()) -> Target:
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    flags[: len(crowd)] = torch.tensor(crowd, dtype=torch.bool)
    return Target(boxes, torch.arange(len(boxes)) % CLASSES, flags)


def random_boxes(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = torch.exp(torch.rand(count, 2, generator=generator) * 5)
    centre = torch.rand(count, 2, generator=generator) * torch.tensor([160.0, 128.0])
    return torch.cat([centre - side / 2, centre + side / 2], dim=1)


CASES = {
    "mixed": [
        target_of(random_boxes(5), [True, False, True]),
        target_of(random_boxes(0)),
        target_of(random_boxes(1)),
    ],
    "empty": [target_of(random_boxes(0))] * BATCH,
    "crowds alone": [target_of(random_boxes(2), [True, True])] * BATCH,
    "a thousand": [target_of(random_boxes(1000), [False] * 990 + [True] * 10)]
    + [target_of(random_boxes(3))] * 2,
    "huge and tiny": [
        target_of(torch.tensor([[-4e3, -4e3, 4e3, 4e3], [40, 40, 40.01, 40.01], [0, 0, 160, 128]])),
        target_of(torch.tensor([[40.0, 40, 40.5, 40.5]])),
        target_of(torch.tensor([[9e5, 9e5, 9.1e5, 9.1e5]])),
    ],
}
ASSIGNERS: dict[str, Assigner] = {"iou": match_iou, "atss": match_atss}
CRITERIA: dict[str, Callable[[Assigner], AnchorCriterion]] = {
    "retinanet": lambda assigner: AnchorCriterion(assigner, focal(), normalizer="image_positives"),
    "ours": lambda assigner: AnchorCriterion(assigner, quality_focal(), box_loss="giou"),
    "smooth": lambda assigner: AnchorCriterion(assigner, focal(), box_loss="smooth_l1"),
}


@pytest.fixture
def fixed_size(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A switch: the form for CUDA also on the CPU."""

    def switch(on: bool) -> None:
        for room in (criterion_room, targets_room, matcher_room, statistics_room):
            monkeypatch.setattr(room, "needs_fixed_size", lambda _: on)

    return switch


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("assigner", ASSIGNERS)
@pytest.mark.parametrize("name", CRITERIA)
def test_losses_on_cuda_wait_for_nothing(
    name: str, assigner: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(criterion_room, "fuses", lambda _: False)  # there is nothing to compile for
    mode = FakeTensorMode()
    outputs, targets = without_values(mode, (outputs_of(dtype), CASES["mixed"]))
    with mode:
        criterion = CRITERIA[name](ASSIGNERS[assigner])
    with mode, WithoutWaiting():
        found = criterion(outputs, targets)
        assert found.inspect is not None
        shares = found.inspect()
    values = (*found.losses.values(), *found.stats.values(), *found.totals.values(), *shares.values())
    assert all(value.is_cuda for value in values)


@pytest.mark.filterwarnings("ignore")
def test_a_pass_on_cuda_waits_for_nothing() -> None:
    backbone = Backbone("resnet10t")
    neck = FeaturePyramid(backbone.channels, 16, 4)
    strides = [8, 16, 32, 64]
    head = AnchorDecoupledHead(16, CLASSES, strides, [[4.0 * s] for s in strides], norm_type="group_norm")
    detector = Detector(backbone, neck, head, strides, backbone.mean, backbone.std).train()
    mode = FakeTensorMode()
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    state = dict((*detector.named_parameters(), *detector.named_buffers()))
    state, images = without_values(mode, (state, images))
    with mode, WithoutWaiting():
        outputs = torch.func.functional_call(detector, state, (images,))
    assert all(x.is_cuda for x in (*outputs.cls_logits, *outputs.bbox_deltas))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CRITERIA)
def test_no_size_in_backward_follows_the_data(
    name: str, dtype: torch.dtype, fixed_size: Callable[[bool], None]
) -> None:
    """On the CPU, as backward on CUDA needs a real one."""
    fixed_size(True)
    mode = FakeTensorMode()
    outputs, targets = without_values(mode, (outputs_of(dtype), CASES["mixed"]), "cpu")
    with mode:
        losses = CRITERIA[name](match_iou)(outputs, targets).losses
        torch.stack(list(losses.values())).sum().backward()
    assert all(x.grad is not None for x in (*outputs.cls_logits, *outputs.bbox_deltas))


@pytest.mark.parametrize(
    "work",
    [lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: bool(x.sum()), lambda x: x.tolist()],
    ids=["mask", "nonzero", "bool", "tolist"],
)
def test_what_takes_its_size_from_values_is_seen(work: Callable[[Tensor], Any]) -> None:
    mode = FakeTensorMode()
    x = without_values(mode, torch.ones(3))
    with mode, WithoutWaiting(), pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        work(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "work", [lambda x: x.new_tensor([1.0, 2.0]), lambda x: x[torch.tensor([0, 1])], lambda x: x.cpu()]
)
def test_what_is_brought_from_the_host_is_seen(work: Callable[[Tensor], Any]) -> None:
    mode = FakeTensorMode()
    x = without_values(mode, torch.ones(3))
    with mode, WithoutWaiting(), pytest.raises(WaitError):
        work(x)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_both_forms_assign_alike(case: str, assigner: str, fixed_size: Callable[[bool], None]) -> None:
    fixed_size(False)
    lean = assign(LEVELS, CASES[case], ASSIGNERS[assigner])
    fixed_size(True)
    fixed = assign(LEVELS, CASES[case], ASSIGNERS[assigner])
    assert torch.equal(lean.labels, fixed.labels)
    objects = lean.labels >= 0
    assert torch.equal(lean.boxes[lean.box[objects]], fixed.boxes[fixed.box[objects]])
    assert objects.any() == (case not in ("empty", "crowds alone"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", CRITERIA)
def test_both_forms_give_the_same_losses(
    name: str, dtype: torch.dtype, case: str, fixed_size: Callable[[bool], None]
) -> None:
    found = []
    for on in (False, True):
        fixed_size(on)
        outputs = outputs_of(dtype)
        result = CRITERIA[name](match_iou)(outputs, CASES[case])
        leaves = [*outputs.cls_logits, *outputs.bbox_deltas]
        gradients = torch.autograd.grad(torch.stack(list(result.losses.values())).sum(), leaves)
        found.append((result, gradients))
    (lean, lean_gradients), (fixed, fixed_gradients) = found
    for one, other in zip(lean.losses.values(), fixed.losses.values(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-7)
    assert all(torch.equal(value, fixed.stats[key]) for key, value in lean.stats.items())
    for a, b in zip(lean_gradients, fixed_gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1.6e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-7)


def test_a_bad_delta_of_the_background_reaches_no_loss(fixed_size: Callable[[bool], None]) -> None:
    """Every row is computed, and only objects count, whatever stands in the others."""
    fixed_size(True)
    outputs, targets = outputs_of(torch.float32), CASES["mixed"]
    background = assign(LEVELS, targets, match_iou).labels.split([len(level.boxes) for level in LEVELS], 1)
    with torch.no_grad():
        for deltas, labels in zip(outputs.bbox_deltas, background, strict=True):
            deltas[labels < 0] = float("nan")
    loss = AnchorCriterion(match_iou, focal(), box_loss="giou")(outputs, targets).losses["box"]
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in outputs.bbox_deltas)


SIDE, CORNER = st.floats(0.125, 400, width=32), st.floats(-40, 120, width=32)
THRESHOLDS = [(0.5, 0.4), (0.5, 0.5), (0.7, 0.3), (0.3, 0.0), (0.0, 0.0), (1.0, 0.4)]


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    st.lists(st.tuples(CORNER, CORNER, SIDE, SIDE, st.booleans()), max_size=6),
    st.sampled_from(THRESHOLDS),
    st.booleans(),
)
def test_any_boxes_are_assigned_alike(
    rows: list[tuple[float, ...]], thresholds: tuple[float, float], low_quality: bool
) -> None:
    raw = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    boxes = torch.cat([raw[:, :2], raw[:, :2] + raw[:, 2:4]], dim=1)
    levels: Sequence[AnchorLevel] = LEVELS
    assigner = partial(
        match_iou, fg_iou_thresh=thresholds[0], bg_iou_thresh=thresholds[1], allow_low_quality=low_quality
    )
    targets = [target_of(boxes, [bool(flag) for flag in raw[:, 4]])]
    lean = assign(levels, targets, assigner)
    with pytest.MonkeyPatch.context() as patch:
        for room in (targets_room, matcher_room):
            patch.setattr(room, "needs_fixed_size", lambda _: True)
        fixed = assign(levels, targets, assigner)
    assert torch.equal(lean.labels, fixed.labels)
    objects = lean.labels >= 0
    assert torch.equal(lean.boxes[lean.box[objects]], fixed.boxes[fixed.box[objects]])
