"""Sentences of the paper (Lin et al. 2017) as facts about this code."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.build import build_criterion, build_detector, build_inference
from foveal.config import schema
from foveal.models.detector import Detector
from foveal.ops.anchors import cell_anchors
from foveal.ops.box_loss import smooth_l1_loss
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.matcher import match_iou
from foveal.types import BACKGROUND, IGNORE, HeadOutputs, Target

CLASSES = 20


def focal_at(p_t: float | Tensor, gamma: float, alpha: float = 1.0) -> Tensor:
    """Focal loss of one object whose score is p_t; with alpha 1 nothing but (1 - p_t)^gamma is added to CE."""
    p = torch.as_tensor(p_t, dtype=torch.float64).reshape(-1, 1)
    losses = [
        sigmoid_focal_loss(x[None], torch.zeros(1, dtype=torch.int64), alpha, gamma) for x in torch.logit(p)
    ]
    return torch.stack(losses)


# ---------------------------------------------------------------- section 3: the loss


@pytest.mark.parametrize(("p_t", "times"), [(0.9, 100), (0.968, 1000)])
def test_well_classified_examples_lose_their_weight(p_t: float, times: float) -> None:
    """With gamma = 2, p_t = 0.9 has 100x lower loss than CE, p_t = 0.968 about 1000x."""
    ratio = focal_at(p_t, 0.0) / focal_at(p_t, 2.0)
    assert ratio.item() == pytest.approx(times, rel=1e-6 if times == 100 else 0.03)


def test_a_hard_example_is_scaled_down_by_four_at_most() -> None:
    """For p_t <= 0.5 and gamma = 2."""
    p_t = torch.linspace(0.001, 0.5, 50, dtype=torch.float64)
    ratio = focal_at(p_t, 0.0) / focal_at(p_t, 2.0)
    assert (ratio <= 4 + 1e-9).all()
    assert ratio[-1].item() == pytest.approx(4)


def test_easy_examples_still_cost_something_in_cross_entropy() -> None:
    assert focal_at(0.8, 0.0).item() == pytest.approx(0.223, abs=5e-4)
    assert focal_at(0.8, 2.0).item() == pytest.approx(0.009, abs=5e-4)


@pytest.mark.parametrize("classes", [1, 7])
def test_gamma_zero_and_alpha_half_is_half_of_binary_cross_entropy(classes: int) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(50, classes), torch.randint(-1, classes, (50,))
    target = torch.zeros(50, classes)
    target[labels >= 0, labels[labels >= 0]] = 1
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    torch.testing.assert_close(sigmoid_focal_loss(logits, labels, 0.5, 0.0), bce / 2)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_never_exceeds_cross_entropy(gamma: float) -> None:
    p_t = torch.linspace(1e-4, 1 - 1e-4, 200, dtype=torch.float64)
    assert (focal_at(p_t, gamma) < focal_at(p_t, 0.0)).all()


def test_a_larger_gamma_means_less_loss() -> None:
    p_t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    losses = torch.stack([focal_at(p_t, gamma) for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)])
    assert (losses.diff(dim=0) < 0).all()


def test_alpha_weighs_objects_and_its_complement_the_background() -> None:
    object_, background = torch.tensor([0]), torch.tensor([BACKGROUND])
    logit = torch.tensor([[1.0]])
    both = (
        sigmoid_focal_loss(logit, object_, 0.25) / 0.25,
        sigmoid_focal_loss(-logit, background, 0.25) / 0.75,
    )
    torch.testing.assert_close(*both)


def test_classes_are_independent_sigmoids() -> None:
    """The loss of several classes is the sum of one-class losses."""
    torch.manual_seed(0)
    logits, labels = torch.randn(30, 4), torch.randint(-1, 4, (30,))
    singles = [
        sigmoid_focal_loss(logits[:, k : k + 1], torch.where(labels == k, 0, BACKGROUND)) for k in range(4)
    ]
    torch.testing.assert_close(sigmoid_focal_loss(logits, labels), torch.stack(singles).sum())


def test_the_prior_tames_the_first_loss() -> None:
    """Section 3.3: without it the flood of background dominates the first iterations."""
    labels = torch.full((10_000,), BACKGROUND)
    prior = -math.log((1 - 0.01) / 0.01)
    tame = sigmoid_focal_loss(torch.full((10_000, 1), prior), labels)
    wild = sigmoid_focal_loss(torch.zeros(10_000, 1), labels)
    assert wild > 10_000 * tame


# ---------------------------------------------------------------- section 4: the network


@pytest.fixture(scope="module")
def detector() -> Detector:
    """The defaults, on a small backbone with random weights."""
    torch.manual_seed(0)
    backbone = schema.Backbone(
        name="resnet18", params=schema.BackboneParams(weights=None, batch_norm="trained")
    )
    model = schema.Model(architecture=schema.Architecture(backbone=backbone))
    return build_detector(model, CLASSES).eval()


@pytest.fixture(scope="module")
def outputs(detector: Detector) -> HeadOutputs:
    torch.manual_seed(1)
    with torch.no_grad():
        result: HeadOutputs = detector(torch.randint(0, 256, (1, 3, 128, 192), dtype=torch.uint8))
    return result


def test_levels_p3_to_p7(detector: Detector, outputs: HeadOutputs) -> None:
    assert detector.strides == (8, 16, 32, 64, 128)
    assert [(level.stride, level.height, level.width) for level in outputs.anchors] == [
        (8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3), (128, 1, 2),
    ]  # fmt: skip


def test_nine_anchors_of_areas_32_to_512(outputs: HeadOutputs) -> None:
    for level, side in zip(outputs.anchors, (32, 64, 128, 256, 512), strict=True):
        assert len(level.cell) == 9
        expected = cell_anchors([side * 2 ** (o / 3) for o in range(3)], [0.5, 1.0, 2.0])
        torch.testing.assert_close(level.cell, expected)


def test_every_score_is_the_prior_at_initialisation(outputs: HeadOutputs) -> None:
    scores = torch.cat([x.flatten() for x in outputs.cls_logits]).sigmoid()
    assert len(scores) > 10_000
    assert 0.009 < scores.min() <= scores.max() < 0.011


def test_the_first_loss_is_small_on_the_whole_network(outputs: HeadOutputs) -> None:
    criterion = build_criterion(schema.Model())
    one = Target(torch.tensor([[20.0, 20.0, 90.0, 80.0]]), torch.tensor([3]), torch.tensor([False]))
    losses = criterion(outputs, [one]).losses
    assert losses["cls"].isfinite()
    assert losses["cls"] < 2


def test_subnets_of_four_convolutions_of_256_channels(detector: Detector) -> None:
    head = detector.head
    for subnet in (head.cls_subnet, head.box_subnet):
        kinds = [type(m) for m in subnet]
        assert kinds == [nn.Conv2d, nn.ReLU] * 4
        for conv in subnet[::2]:
            assert (conv.in_channels, conv.out_channels, conv.kernel_size) == (256, 256, (3, 3))
    assert head.cls_logits.out_channels == 9 * CLASSES
    assert head.bbox_pred.out_channels == 9 * 4


def test_the_subnets_share_nothing_with_each_other(detector: Detector) -> None:
    head = detector.head
    cls = {p.data_ptr() for m in (head.cls_subnet, head.cls_logits) for p in m.parameters()}
    box = {p.data_ptr() for m in (head.box_subnet, head.bbox_pred) for p in m.parameters()}
    assert cls.isdisjoint(box)
    assert len(cls) + len(box) == len(list(head.parameters()))


def test_the_head_is_shared_over_levels(detector: Detector) -> None:
    """The same map gives the same output on every level."""
    torch.manual_seed(2)
    x = torch.randn(1, 256, 3, 3)
    with torch.no_grad():
        outputs = detector.head([x] * 5)
    for logits, deltas in zip(outputs.cls_logits[1:], outputs.bbox_deltas[1:], strict=True):
        assert torch.equal(logits, outputs.cls_logits[0])
        assert torch.equal(deltas, outputs.bbox_deltas[0])


def test_convolutions_of_the_head_start_at_a_hundredth(detector: Detector) -> None:
    convs = [m for m in detector.head.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 10
    for conv in convs:
        weight = conv.weight.detach()
        assert weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert abs(weight.mean().item()) < 1e-4
        assert conv.bias is not None
        expected = -math.log(99) if conv is detector.head.cls_logits else 0.0
        assert conv.bias.tolist() == pytest.approx([expected] * conv.out_channels)


def test_p6_comes_from_c5_and_p7_from_the_rectified_p6(detector: Detector) -> None:
    torch.manual_seed(3)
    with torch.no_grad():
        features = detector.backbone(torch.randn(1, 3, 128, 192))
        pyramid = detector.neck(features)
        p6 = detector.neck.extra[0](features[-1])
        torch.testing.assert_close(pyramid[3], p6)
        torch.testing.assert_close(pyramid[4], detector.neck.extra[1](p6.relu()))
    assert all(p.shape[1] == 256 for p in pyramid)
    assert all(conv[0].stride == (2, 2) and conv[0].kernel_size == (3, 3) for conv in detector.neck.extra)


# ---------------------------------------------------------------- section 4: training and inference


def test_assignment_object_background_and_ignored(outputs: HeadOutputs) -> None:
    """IoU >= 0.5 is an object, below 0.4 background, between them neither."""
    from torchvision.ops import box_iou

    boxes = torch.tensor([[20.0, 20.0, 90.0, 80.0], [100.0, 10.0, 140.0, 120.0]])
    matched = match_iou(outputs.anchors, boxes, allow_low_quality=False)
    best = box_iou(torch.cat([level.boxes for level in outputs.anchors]), boxes).max(dim=1).values
    assert ((matched >= 0) == (best >= 0.5)).all()
    assert ((matched == IGNORE) == ((best >= 0.4) & (best < 0.5))).all()
    assert ((matched == BACKGROUND) == (best < 0.4)).all()
    assert all((matched == kind).any() for kind in (0, 1, IGNORE, BACKGROUND))


def test_the_loss_is_divided_by_the_objects_not_by_the_anchors() -> None:
    """Twice the pictures with twice the objects give the same loss."""
    criterion = build_criterion(schema.Model())
    torch.manual_seed(0)
    level = AnchorsOfOneLevel()
    once, twice = level.outputs(1), level.outputs(2)
    one = Target(torch.tensor([[10.0, 10.0, 40.0, 44.0]]), torch.tensor([1]), torch.tensor([False]))
    for name, loss in criterion(once, [one]).losses.items():
        torch.testing.assert_close(criterion(twice, [one, one]).losses[name], loss)
    labels = torch.where(match_iou(once.anchors, one.boxes) >= 0, 1, match_iou(once.anchors, one.boxes))
    total = sigmoid_focal_loss(once.cls_logits[0][0], labels)
    torch.testing.assert_close(criterion(once, [one]).losses["cls"], total / (labels >= 0).sum())


class AnchorsOfOneLevel:
    """One level of 8 x 8 cells, with the same random logits for every picture."""

    def __init__(self) -> None:
        from foveal.ops.anchors import grid_anchors

        self.level = grid_anchors(cell_anchors([32.0], [0.5, 1.0, 2.0]), 8, 8, 8)
        self.logits, self.deltas = torch.randn(1, 192, 3), torch.randn(1, 192, 4)

    def outputs(self, pictures: int) -> HeadOutputs:
        logits, deltas = self.logits.repeat(pictures, 1, 1), self.deltas.repeat(pictures, 1, 1)
        return HeadOutputs((logits,), (deltas,), (self.level,))


def test_smooth_l1_is_quadratic_then_linear() -> None:
    gaps = torch.tensor(
        [[0.01, 0.0, 0.0, 0.0], [0.02, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]
    )
    values = smooth_l1_loss(gaps, torch.zeros(4, 4))
    assert (values[1] / values[0]).item() == pytest.approx(4)
    assert (values[3] - values[2]).item() == pytest.approx(1)


def test_the_defaults_are_the_papers(detector: Detector) -> None:
    losses, post = schema.Losses(), schema.PostprocessorParams()
    assert isinstance(losses.classification, schema.FocalLoss)
    assert (losses.classification.focal_alpha, losses.classification.focal_gamma) == (0.25, 2.0)
    assert isinstance(losses.assigner, schema.IouAssigner)
    assert (losses.assigner.fg_iou_thresh, losses.assigner.bg_iou_thresh) == (0.5, 0.4)
    assert (post.score_thresh, post.topk_candidates, post.nms_thresh) == (0.05, 1000, 0.5)
    model = build_inference(detector, schema.Model())
    with torch.no_grad():
        found = model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert found.count[0] == 0, "scores of about 0.01 lie below the threshold of 0.05"
