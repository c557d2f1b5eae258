"""The head's network: shapes, order of rows, sharing, initialisation, refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foveal.heads.anchor_decoupled.network import AnchorDecoupledHead
from foveal.ops.anchors import cell_anchors

STRIDES = (8, 16, 32)
SIZES = [[32.0, 40.0], [64.0, 80.0], [128.0, 160.0]]


def make_head(**settings: Any) -> AnchorDecoupledHead:
    torch.manual_seed(0)
    return AnchorDecoupledHead(
        **{"in_channels": 8, "num_classes": 5, "strides": STRIDES, "anchor_sizes": SIZES} | settings
    )


def features(height: int = 64, width: int = 96, batch: int = 2, channels: int = 8) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, channels, height // s, width // s) for s in STRIDES]


def test_one_row_per_anchor_and_level() -> None:
    outputs = make_head()(features())
    for level, stride in enumerate(STRIDES):
        rows = (64 // stride) * (96 // stride) * 6
        assert outputs.cls_logits[level].shape == (2, rows, 5)
        assert outputs.bbox_deltas[level].shape == (2, rows, 4)
        assert outputs.anchors[level].boxes.shape == (rows, 4)
        assert outputs.anchors[level].stride == stride
        assert torch.equal(outputs.anchors[level].cell, cell_anchors(SIZES[level], (0.5, 1.0, 2.0)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_are_in_the_order_of_the_anchors(layout: torch.memory_format) -> None:
    """Channel a * K + k of cell (y, x) is class k of anchor a there: row (y * W + x) * A + a."""
    head = make_head(num_layers=0).to(memory_format=layout)
    x = [f.contiguous(memory_format=layout) for f in features()]
    outputs = head(x)
    raw, deltas = head.cls_logits(x[0]), head.bbox_pred(x[0])
    for y, column, anchor in [(0, 0, 0), (3, 7, 4), (7, 11, 5)]:
        row = (y * 12 + column) * 6 + anchor
        torch.testing.assert_close(
            outputs.cls_logits[0][:, row], raw[:, anchor * 5 : anchor * 5 + 5, y, column]
        )
        torch.testing.assert_close(
            outputs.bbox_deltas[0][:, row], deltas[:, anchor * 4 : anchor * 4 + 4, y, column]
        )
        centre = outputs.anchors[0].boxes[row].view(2, 2).mean(dim=0)
        torch.testing.assert_close(centre, torch.tensor([(column + 0.5) * 8, (y + 0.5) * 8]))


def test_channels_last_rows_are_a_view() -> None:
    """Nothing is copied between the last convolution and the loss."""
    head = make_head().to(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    head.cls_logits.register_forward_hook(lambda _m, _i, output: seen.append(output))
    outputs = head([f.contiguous(memory_format=torch.channels_last) for f in features()])
    for conv, rows in zip(seen, outputs.cls_logits, strict=True):
        assert conv.data_ptr() == rows.data_ptr()


def test_an_output_depends_on_its_own_subnet_alone() -> None:
    head = make_head(num_layers=2)
    before = head(features())
    for parameter in head.box_subnet.parameters():
        parameter.data.add_(1.0)
    after = head(features())
    assert all(torch.equal(a, b) for a, b in zip(before.cls_logits, after.cls_logits, strict=True))
    assert not torch.equal(before.bbox_deltas[0], after.bbox_deltas[0])


@pytest.mark.parametrize("layers", [0, 1, 4])
@pytest.mark.parametrize(
    ("norm", "module"),
    [
        ("none", None),
        ("batch_norm", nn.BatchNorm2d),
        ("group_norm", nn.GroupNorm),
        ("instance_norm", nn.InstanceNorm2d),
    ],
)
def test_layers_and_norms(layers: int, norm: str, module: type[nn.Module] | None) -> None:
    head = make_head(num_layers=layers, norm_type=norm)
    for subnet in (head.cls_subnet, head.box_subnet):
        convs = [m for m in subnet.modules() if isinstance(m, nn.Conv2d)]
        assert len(convs) == layers == sum(isinstance(m, nn.ReLU) for m in subnet)
        assert all(conv.kernel_size == (3, 3) and (conv.bias is None) == (norm != "none") for conv in convs)
        if module is not None:
            norms = [m for m in subnet.modules() if isinstance(m, module)]
            assert len(norms) == layers
            assert all(m.weight is not None for m in norms), "a norm without scale and shift"


@pytest.mark.parametrize("prior", [0.01, 0.1])
def test_the_prior_is_the_score_without_evidence(prior: float) -> None:
    head = make_head(prior_prob=prior)
    assert head.cls_logits.bias is not None
    scores = head.cls_logits.bias.sigmoid()
    torch.testing.assert_close(scores, torch.full_like(scores, prior))
    assert head.cls_logits.bias[0].item() == pytest.approx(-math.log((1 - prior) / prior))


def test_the_picture_may_have_any_size() -> None:
    """Strides are told, not found by dividing a fixed size: nothing is kept from an earlier picture."""
    head = make_head().eval()
    small = head(features())
    large = head([torch.randn(1, 8, 100 // s + 1, 333 // s + 1) for s in STRIDES])
    assert large.anchors[0].boxes[-1].view(2, 2).mean(dim=0).tolist() == pytest.approx([41.5 * 8, 12.5 * 8])
    again = head(features())
    assert torch.equal(small.anchors[0].boxes, again.anchors[0].boxes)
    assert torch.equal(small.cls_logits[0], again.cls_logits[0])


@pytest.mark.parametrize("norm", ["none", "group_norm", "instance_norm"])
@pytest.mark.parametrize("training", [True, False])
def test_a_level_of_one_cell(norm: str, training: bool) -> None:
    """A 32 px picture leaves stride 32 a single cell."""
    head = make_head(in_channels=64, norm_type=norm).train(training)
    outputs = head(features(32, 32, batch=1, channels=64))
    assert all(x.isfinite().all() for x in (*outputs.cls_logits, *outputs.bbox_deltas))


def test_instance_norm_is_pytorchs_elsewhere() -> None:
    ours = make_head(norm_type="instance_norm").cls_subnet[1]
    theirs = nn.InstanceNorm2d(8, affine=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 5, 7) * 3 + 1
    torch.testing.assert_close(ours(x), theirs(x))


def test_anchors_are_no_part_of_the_weights() -> None:
    assert not [name for name in make_head().state_dict() if "cell" in name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anchor_sizes": SIZES[:2]}, "2 lists of anchor sizes for 3 levels"),
        ({"anchor_sizes": [[32.0], [64.0, 80.0], [128.0]]}, "same number"),
        ({"aspect_ratios": [0.0]}, "positive"),
    ],
)
def test_refuses_lists_that_disagree(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_head(**settings)
