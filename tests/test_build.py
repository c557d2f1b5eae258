"""Settings that fit no model are refused or warned of where the objects are made."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from foveal.build import (
    build_criterion,
    build_detector,
    build_inference,
    build_loader,
    with_class_balance,
)
from foveal.config import schema
from foveal.config.load import load_config
from foveal.data.shapes import make_shapes
from foveal.errors import ConfigWarning, UsageError
from foveal.ops.atss import match_atss
from foveal.ops.box_coder import CentreCoder, CornerCoder
from foveal.ops.class_balance import alpha_of_classes
from foveal.ops.matcher import match_iou


def model(alpha: float | list[float] = 0.25, name: str = "resnet10t", **params: Any) -> schema.Model:
    backbone = {"name": name, "params": {"weights": None, "batch_norm": "trained", **params}}
    head = {"params": {"num_layers": 0}}
    return schema.Model.model_validate(
        {
            "architecture": {"backbone": backbone, "neck": {"params": {"out_channels": 8}}, "head": head},
            "losses": {"classification": {"name": "focal", "focal_alpha": alpha}},
        }
    )


def test_one_alpha_per_class() -> None:
    build_detector(model([0.25, 0.5, 0.75]), 3)
    with pytest.raises(UsageError, match=r"model\.losses\.classification\.focal_alpha: 3 numbers for 2 cl"):
        build_detector(model([0.25, 0.5, 0.75]), 2)


def test_frozen_norm_over_random_weights_is_told_once() -> None:
    frozen = model(batch_norm="frozen")
    with pytest.warns(ConfigWarning, match=r"batch_norm: frozen .* set batch_norm: trained") as caught:
        build_detector(frozen, 2)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_detector(frozen, 2, pretrained=False)  # weights follow
        build_detector(model(batch_norm="trained"), 2)
        build_detector(model(batch_norm="frozen", name="convnext_atto"), 2)  # has no batch norm


@pytest.mark.parametrize("channels", [8, 32])
@pytest.mark.parametrize("norm", ["none", "group_norm", "instance_norm"])
def test_one_small_picture_is_enough(norm: str, channels: int) -> None:
    """P6 and P7 of a 64 px picture have one cell; with a channel a group, that is one value to normalise."""
    architecture = {
        "backbone": {"name": "lcnet_035", "params": {"weights": None, "batch_norm": "frozen"}},
        "neck": {
            "params": {"out_channels": channels, "norm_type": "none" if norm == "instance_norm" else norm}
        },
        "head": {"params": {"num_layers": 1, "norm_type": norm}},
    }
    detector = build_detector(
        schema.Model.model_validate({"architecture": architecture}), 2, pretrained=False
    )
    for network in (detector.train(), detector.eval()):
        outputs = network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
        assert [len(logits[0]) for logits in outputs.cls_logits] == [9 * cells for cells in (64, 16, 4, 1, 1)]
        assert all(logits.isfinite().all() for logits in outputs.cls_logits)


def test_loader_needs_data() -> None:
    with pytest.raises(UsageError, match="no section 'data'"):
        build_loader(make_shapes(2), schema.Config(), train=True)


def test_a_canvas_that_is_rounded_up_is_told() -> None:
    data = {"train": {"format": "shapes"}, "image_size": [64, 70], "workers": 0}
    config = schema.Config.model_validate({"data": data})
    records = make_shapes(2, 2, 64)
    with pytest.warns(ConfigWarning, match=r"image_size \[64, 70\] is rounded up to \[64, 96\]"):
        loader = build_loader(records, config, train=True)
    assert next(iter(loader)).images.shape[-2:] == (64, 96)
    build_loader(records, config, train=False)  # once is enough: warnings are errors here


def test_loader_augments_and_shuffles_training_alone() -> None:
    values = {
        "train": {"format": "shapes"},
        "image_size": [64, 64],
        "augment": {"vertical_flip": 1.0, "horizontal_flip": 0.0},
        "workers": 0,
    }
    config = schema.Config.model_validate({"data": values, "training": {"batch_size": 3}})
    records = make_shapes(8, 2, 64, empty_share=0.0)
    train, val = (list(build_loader(records, config, train=train)) for train in (True, False))
    assert [batch.image_ids for batch in val] == [(1, 2, 3), (4, 5, 6), (7, 8)]
    assert [len(batch.image_ids) for batch in train] == [3, 3]  # an incomplete last batch is left out
    assert sorted(sum((batch.image_ids for batch in train), ())) != [1, 2, 3, 4, 5, 6]
    upright = {i: image for batch in val for i, image in zip(batch.image_ids, batch.images, strict=True)}
    for batch in train:
        for image_id, image in zip(batch.image_ids, batch.images, strict=True):
            assert torch.equal(image, upright[image_id].flip(1))


@pytest.mark.parametrize(
    ("assigner", "function"), [({"name": "atss", "topk": 4}, match_atss), ({"name": "iou"}, match_iou)]
)
def test_criterion_takes_its_settings(assigner: dict[str, Any], function: Any) -> None:
    losses = schema.Losses.model_validate({"assigner": assigner, "box": {"name": "giou", "weight": 3.0}})
    criterion = build_criterion(schema.Model(losses=losses))
    chosen = criterion.assigner
    assert chosen.func is function
    assert chosen.keywords == {key: value for key, value in losses.assigner if key != "name"}
    assert criterion.box_weight == 3.0


@pytest.mark.parametrize(
    ("mining", "negatives"),
    [
        (None, 5),
        ({"name": "ssd", "negatives_per_positive": 2}, 2),
        ({"name": "ohem", "examples": 4, "nms_thresh": 0.5}, 3),
        ({"name": "ohem", "examples": 4, "nms_thresh": 0.5, "negatives_per_positive": 1}, 1),
    ],
)
def test_mining_takes_its_settings(mining: dict[str, Any] | None, negatives: int) -> None:
    """One object and five negatives, apart from each other."""
    losses = schema.Losses.model_validate({"classification": {"name": "cross_entropy"}, "mining": mining})
    miner = build_criterion(schema.Model(losses=losses)).miner
    labels = torch.tensor([3, -1, -1, -1, -1, -1])
    boxes = torch.arange(6.0)[:, None] * 10 + torch.tensor([0.0, 0.0, 8.0, 8.0])
    kept = labels if miner is None else miner(torch.arange(6.0).flip(0), labels, boxes)
    assert int((kept == -1).sum()) == negatives
    assert kept[0] == 3


def test_as_many_balancing_weights_as_classes() -> None:
    model = schema.Model.model_validate(
        {"losses": {"classification": {"name": "cross_entropy", "alpha": [0.2, 0.3]}}}
    )
    with pytest.raises(UsageError, match=r"classification\.alpha: 2 numbers for 3 classes"):
        build_detector(model, 3, pretrained=False)


def test_auto_alpha_is_replaced_by_numbers_of_the_training_set() -> None:
    model = schema.Model.model_validate(
        {"losses": {"classification": {"name": "focal", "focal_alpha": "auto"}}}
    )
    with pytest.raises(ValueError, match="alpha is auto"):
        build_criterion(model)
    chosen = with_class_balance(model, [100, 400])
    loss = chosen.losses.classification
    assert isinstance(loss, schema.FocalLoss)
    assert loss.focal_alpha == pytest.approx(alpha_of_classes([100, 400]))
    build_criterion(chosen)
    assert with_class_balance(chosen, [5, 5]) is chosen


@pytest.mark.parametrize("preset", ["detectron2", "odtk", "keras_retinanet", "torchvision_v1", "yhenon"])
def test_a_preset_reaches_every_part(preset: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    backbone = "{name: resnet50, params: {weights: null}}"
    path.write_text(f"model: {{preset: {preset}, architecture: {{backbone: {backbone}}}}}\n")
    model = load_config(path, require_data=False).model
    detector = build_detector(model, 2, pretrained=False).eval()
    head = model.architecture.head.params
    assert detector.head.anchor_rule == (
        head.anchor_offset,
        head.anchor_order,
        head.anchor_rounding,
        head.anchor_corners,
        head.anchor_step,
    )
    pixels = model.architecture.pixels
    assert detector.order == pixels.order
    if pixels.mean is not None:
        assert detector.mean.flatten().tolist() == pytest.approx(pixels.mean)
        assert detector.scale.flatten().tolist() == pytest.approx([1.0, 1.0, 1.0])
    moved = detector.backbone.body.layer2[0].conv1.stride == (2, 2)
    assert moved == model.architecture.backbone.params.stride_in_1x1
    like_tensorflow = model.architecture.neck.params.extra_padding == "tensorflow"
    assert (detector.neck.extra[0][0].padding == (0, 0)) == like_tensorflow
    coder = build_criterion(model).coder
    inference = build_inference(detector, model)
    assert inference.decoder.coder == coder
    assert isinstance(coder, CornerCoder) == (preset == "keras_retinanet")
    assert (coder == CentreCoder((10, 10, 5, 5))) == (preset == "yhenon")
    with torch.no_grad():
        found = inference(torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8))
    assert found.boxes.isfinite().all()
