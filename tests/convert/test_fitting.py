"""Changes of tensors that keep what the network computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.convert.fitting import change_eps, keep_rows, place_subnets
from foveal.convert.layouts import LAYOUTS
from foveal.convert.reading import Source
from foveal.convert.renaming import Renamed, our_name, recognise
from foveal.convert.report import Entry
from foveal.convert.structure import read_structure
from foveal.convert.weights import EXACT_EPS, Wishes, _eps


def renamed(**tensors: Tensor) -> Renamed:
    """Tensors under our names, with ``_`` for dots."""
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    entries = {name: Entry(f"their.{name}", tuple(t.shape), "used", name, "") for name, t in named.items()}
    return Renamed(named, entries)


def test_another_epsilon_of_batch_norm() -> None:
    """torchvision's published v1 weights were trained with 0, and have channels of next to no variance."""
    torch.manual_seed(0)
    variance = torch.tensor([1e-12, 1e-6, 1.0, 30.0])
    mean, gamma, beta, x = torch.randn(4), torch.rand(4), torch.randn(4), torch.randn(1, 4, 3, 3)
    m, v, g, b = (tensor.view(-1, 1, 1) for tensor in (mean, variance, gamma, beta))
    theirs = (x - m) / v.sqrt() * g + b
    tensors = renamed(
        backbone__body__bn1__weight=gamma,
        backbone__body__bn1__bias=beta,
        backbone__body__bn1__running_mean=mean,
        backbone__body__bn1__running_var=variance,
    )
    change_eps(tensors, 0.0)
    weight = tensors.tensors["backbone.body.bn1.weight"]
    ours = F.batch_norm(x, mean, variance, weight, beta, eps=1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert tensors.entries["backbone.body.bn1.weight"].note == "epsilon 0 of batch norm to 1e-05"
    assert tensors.entries["backbone.body.bn1.bias"].fate == "used"


def test_the_published_v1_file_is_known_by_its_digest() -> None:
    from torchvision.models.detection import RetinaNet_ResNet50_FPN_V2_Weights, RetinaNet_ResNet50_FPN_Weights

    digits = RetinaNet_ResNet50_FPN_Weights.COCO_V1.url.rpartition("-")[2].removesuffix(".pth")
    assert {digits: 0.0} == EXACT_EPS
    published = Source(Path("a.pth"), "PyTorch", digits + "0" * 56, {}, {})
    assert _eps(published, Wishes()) == 0.0
    assert _eps(published, Wishes(bn_eps=1e-3)) == 1e-3
    second = RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1.url.rpartition("-")[2].removesuffix(".pth")
    assert _eps(published._replace(sha256=second + "0" * 56), Wishes()) == 1e-5


def test_rows_are_taken_anchor_by_anchor() -> None:
    rows = torch.arange(2 * 4).float()  # two anchors, four classes
    tensors = renamed(head__cls_logits__weight=rows.view(8, 1, 1, 1), head__cls_logits__bias=rows)
    keep_rows(tensors, (1, 3), 2, 4)
    assert tensors.tensors["head.cls_logits.bias"].tolist() == [1, 3, 5, 7]
    assert tensors.tensors["head.cls_logits.weight"].flatten().tolist() == [1, 3, 5, 7]


def subnet(norm: bool, bias: Tensor | None, statistics: bool) -> Renamed:
    start = "head__cls_subnet__1__"
    tensors = {f"{start}conv__weight": torch.ones(2, 2, 3, 3)}
    if bias is not None:
        tensors[f"{start}conv__bias"] = bias
    if norm:
        tensors |= {f"{start}norm__{name}": torch.ones(2) for name in ("weight", "bias")}
    if statistics:
        tensors |= {f"{start}norm__running_{name}": torch.ones(2) for name in ("mean", "var")}
    return renamed(**tensors)


def test_places_in_the_subnets() -> None:
    plain = subnet(False, torch.ones(2), False)
    place_subnets(plain, "none")
    assert set(plain.tensors) == {"head.cls_subnet.2.weight", "head.cls_subnet.2.bias"}
    normed = subnet(True, None, False)
    place_subnets(normed, "group_norm")
    assert set(normed.tensors) == {f"head.cls_subnet.{n}" for n in ("3.weight", "4.weight", "4.bias")}
    assert normed.entries["head.cls_subnet.4.bias"].target == "head.cls_subnet.4.bias"


def test_a_bias_before_a_norm() -> None:
    """detectron2's has one; batch norm takes it into its mean, group norm only where it is zero."""
    batch = subnet(True, torch.tensor([0.5, 2.0]), True)
    place_subnets(batch, "batch_norm")
    assert batch.tensors["head.cls_subnet.4.running_mean"].tolist() == [0.5, -1.0]
    assert "head.cls_subnet.1.conv.bias" not in batch.tensors
    zero = subnet(True, torch.zeros(2), False)
    place_subnets(zero, "group_norm")
    assert [entry.fate for entry in zero.entries.values()].count("ignored") == 1
    other = subnet(True, torch.ones(2), False)
    place_subnets(other, "group_norm")
    assert "head.cls_subnet.1.conv.bias" in other.tensors, "left over, so that fit() names it"


@pytest.mark.parametrize(
    ("layout", "theirs", "ours"),
    [
        ("torchvision_v1", "head.classification_head.conv.6.bias", "head.cls_subnet.3.conv.bias"),
        ("torchvision_v1", "head.regression_head.conv.3.0.bias", "head.box_subnet.3.conv.bias"),
        ("torchvision_v2", "head.regression_head.conv.3.1.bias", "head.box_subnet.3.norm.bias"),
        ("torchvision_v1", "backbone.fpn.inner_blocks.2.weight", "neck.lateral.2.0.weight"),
        ("torchvision_v1", "backbone.fpn.inner_blocks.2.0.weight", "neck.lateral.2.0.weight"),
        ("detectron2", "backbone.bottom_up.res4.22.conv3.norm.bias", "backbone.body.layer3.22.bn3.bias"),
        ("detectron2", "backbone.fpn_lateral5.norm.weight", "neck.lateral.2.1.weight"),
        ("detectron2", "backbone.fpn_lateral2.weight", None),
        ("mmdetection", "bbox_head.reg_convs.3.gn.weight", "head.box_subnet.3.norm.weight"),
        ("odtk", "backbones.ResNet50FPN.smooth4.bias", "neck.output.1.0.bias"),
        ("yhenon", "fpn.P7_1.weight", None),
    ],
)
def test_names(layout: str, theirs: str, ours: str | None) -> None:
    """Also of older torchvision files, whose subnets were one row of layers."""
    assert our_name(theirs, LAYOUTS[layout].rules(())) == ours


def test_every_layout_is_told_from_the_others() -> None:
    marks = {
        "torchvision_v1": (
            "backbone.fpn.extra_blocks.p6.weight",
            "head.classification_head.cls_logits.weight",
        ),
        "detectron2": (
            "backbone.bottom_up.stem.conv1.weight",
            "backbone.top_block.p6.weight",
            "head.cls_score.weight",
        ),
        "mmdetection": ("neck.lateral_convs.0.conv.weight", "bbox_head.retina_cls.weight"),
        "odtk": ("backbones.R.pyramid6.weight", "backbones.R.features.conv1.weight", "cls_head.8.weight"),
        "keras_retinanet": ("C3_reduced/kernel", "pyramid_classification/kernel", "conv1/kernel"),
        "yhenon": ("fpn.P6.weight", "classificationModel.output.weight"),
        "netspresso": ("backbone.conv1.block.conv.weight", "head.classification_head.cls_logits.weight"),
    }
    marks["torchvision_v2"] = (*marks["torchvision_v1"], "head.classification_head.conv.0.1.weight")
    assert set(marks) == set(LAYOUTS)
    for name, names in marks.items():
        source = Source(Path("a.pth"), "PyTorch", "", dict.fromkeys(names, torch.zeros(1)), {})
        assert recognise(source).name == name


def test_depths() -> None:
    def tensors(blocks: tuple[int, ...], convs: int) -> dict[str, Tensor]:
        found = {
            f"backbone.body.layer{stage}.{block}.conv{conv}.weight": torch.zeros(1)
            for stage, count in enumerate(blocks, start=1)
            for block in range(count)
            for conv in range(1, convs + 1)
        }
        for level in range(3):
            found |= {
                f"neck.{part}.{level}.0.weight": torch.zeros(64, 32, 1, 1) for part in ("lateral", "output")
            }
        found["neck.extra.0.0.weight"] = torch.zeros(64, 64, 3, 3)
        found["head.bbox_pred.weight"] = torch.zeros(12, 64, 3, 3)
        found["head.cls_logits.weight"] = torch.zeros(6, 64, 3, 3)
        return found

    depths = {(2, 2, 2, 2): (2, 18), (3, 4, 23, 3): (3, 101), (3, 8, 36, 3): (3, 152)}
    for blocks, (convs, depth) in depths.items():
        structure = read_structure(tensors(blocks, convs))
        assert structure.backbone == f"resnet{depth}"
        assert structure[2:6] == (3, 4, 64, "on_output")
        assert structure[9:] == (3, 2)
    assert read_structure(tensors((3, 4, 6, 3), 2)).backbone == "resnet34"
    assert read_structure(tensors((3, 4, 6, 3), 3)).backbone == "resnet50"
