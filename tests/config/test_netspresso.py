"""NetsPresso's spellings of the model section."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

from foveal.build import build_detector
from foveal.config import schema
from foveal.config.load import Loaded, read_config
from foveal.errors import UsageError

HEAD = """\
model:
  architecture:
    head:
      name: anchor_decoupled_head
      params:
        anchor_sizes: [[32,], [64,], [128,], [256,]]
        aspect_ratios: [0.5, 1.0, 2.0]
        num_layers: 1
        norm_type: batch_norm
        # postprocessor - decode
        topk_candidates: 1000
        score_thresh: 0.05
        # postprocessor - nms
        nms_thresh: 0.45
        class_agnostic: False
"""
NECK = {
    "name": "fpn",
    "params": {
        "num_outs": 4,
        "start_level": 0,
        "end_level": -1,
        "add_extra_convs": False,
        "relu_before_extra_convs": False,
    },
}


def read(folder: Path, text: str, *overrides: str) -> Loaded:
    path = folder / "n.yaml"
    path.write_text(text)
    return read_config(path, overrides, require_data=False)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, text, *overrides)
    return str(caught.value).replace(f"{folder}/", "")


def with_neck(**params: Any) -> str:
    tree = yaml.safe_load(HEAD)
    tree["model"]["architecture"]["neck"] = {"name": "fpn", "params": NECK["params"] | params}  # type: ignore[operator]
    return yaml.safe_dump(tree)


class TestHead:
    def test_the_block_as_printed(self, tmp_path: Path) -> None:
        model = read(tmp_path, HEAD).config.model
        params = model.architecture.head.params
        assert params.anchor_sizes == [[32], [64], [128], [256]]
        assert params.aspect_ratios == [0.5, 1.0, 2.0]
        assert (params.num_layers, params.norm_type) == (1, "batch_norm")
        assert model.postprocessor.params == schema.PostprocessorParams(
            topk_candidates=1000, score_thresh=0.05, nms_thresh=0.45, class_agnostic=False
        )
        assert model.architecture.neck.params.min_level == 3

    def test_both_names_and_both_norm_keys_are_the_same(self, tmp_path: Path) -> None:
        plain = read(tmp_path, HEAD).config
        other = HEAD.replace("anchor_decoupled_head", "retinanet_head").replace("norm_type", "norm_layer")
        loaded = read(tmp_path, other)
        assert loaded.config == plain
        said = " ".join(note.text for note in loaded.notes)
        assert "retinanet_head is read as anchor_decoupled_head" in said
        assert "norm_layer is read as norm_type" in said

    def test_norm_given_twice(self, tmp_path: Path) -> None:
        same = HEAD.replace("num_layers: 1", "norm_layer: batch_norm")
        assert read(tmp_path, same).config.model.architecture.head.params.norm_type == "batch_norm"
        message = refusal(tmp_path, HEAD.replace("num_layers: 1", "norm_layer: group_norm"))
        assert message == (
            "n.yaml:8: norm_layer is 'group_norm' but norm_type is 'batch_norm' (n.yaml:9); "
            "they are two names of one setting, give one"
        )

    def test_an_override_wins_under_either_name(self, tmp_path: Path) -> None:
        params = "model.architecture.head.params"
        for text in (HEAD, HEAD.replace("norm_type", "norm_layer")):
            for name in ("norm_type", "norm_layer"):
                config = read(tmp_path, text, f"{params}.{name}=group_norm").config
                assert config.model.architecture.head.params.norm_type == "group_norm"

    def test_a_bad_value_is_told_at_its_own_line(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, HEAD.replace("nms_thresh: 0.45", "nms_thresh: 45"))
        assert message.startswith("n.yaml:14: model.postprocessor.params.nms_thresh: 45 is not allowed")


class TestPostprocessor:
    def newer(self, **params: Any) -> str:
        return HEAD + yaml.safe_dump({"postprocessor": {"params": params}}).replace("\n", "\n  ").join(
            ["  ", "\n"]
        )

    def test_newer_place(self, tmp_path: Path) -> None:
        text = "model: {postprocessor: {params: {nms_thresh: 0.3, topk_candidates: 7}}}"
        found = read(tmp_path, text).config.model.postprocessor.params
        assert (found.nms_thresh, found.topk_candidates) == (0.3, 7)

    def test_newer_place_wins_with_a_warning_where_they_differ(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, self.newer(nms_thresh=0.6, score_thresh=0.05))
        assert loaded.config.model.postprocessor.params.nms_thresh == 0.6
        warnings = [note.text for note in loaded.notes if note.warning]
        assert len(warnings) == 1
        assert "head.params.nms_thresh is 0.45, but postprocessor.params.nms_thresh is 0.6" in warnings[0]

    def test_an_override_wins_in_either_place(self, tmp_path: Path) -> None:
        for place in ("model.architecture.head.params", "model.postprocessor.params"):
            loaded = read(
                tmp_path, self.newer(nms_thresh=0.6, score_thresh=0.05), f"{place}.score_thresh=0.2"
            )
            assert loaded.config.model.postprocessor.params.score_thresh == 0.2


class TestNeck:
    def test_stages_are_levels(self, tmp_path: Path) -> None:
        params = read(tmp_path, with_neck()).config.model.architecture.neck.params
        assert params.min_level == 2
        assert (
            read(
                tmp_path, with_neck(start_level=1, add_extra_convs="on_input")
            ).config.model.architecture.neck.params.min_level
            == 3
        )

    def test_number_of_outputs_must_be_that_of_the_anchor_lists(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, with_neck(num_outs=5))
        assert "num_outs 5 makes the levels P2..P6" in message
        assert "anchor_sizes has 4 lists" in message
        assert "P2..P5; make the two numbers equal" in message
        assert "\n" not in message

    @pytest.mark.parametrize("kind", ["on_input", "on_output"])
    def test_extra_levels(self, tmp_path: Path, kind: str) -> None:
        params = read(
            tmp_path, with_neck(start_level=1, add_extra_convs=kind)
        ).config.model.architecture.neck.params
        assert params.extra_convs == kind
        assert params.relu_before_extra_convs is False

    @pytest.mark.parametrize("kind", [False, "on_lateral"])
    def test_extra_levels_that_have_no_equal(self, tmp_path: Path, kind: Any) -> None:
        assert "extra_convs: on_input" in refusal(tmp_path, with_neck(start_level=2, add_extra_convs=kind))
        loaded = read(tmp_path, with_neck(add_extra_convs=kind))
        assert any("is ignored: no level lies above P5" in note.text for note in loaded.notes)

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"start_level": 7}, "start_level 7 is not allowed; allowed: a whole number in 0..3"),
            ({"num_outs": "four"}, "num_outs 'four' is not allowed"),
            ({"end_level": 1}, "end_level 1 leaves out the backbone's last stage"),
            ({"add_extra_convs": "on_roof"}, "add_extra_convs 'on_roof' is not allowed"),
            ({"min_level": 4}, "start_level asks for min_level 2, but min_level is 4"),
        ],
    )
    def test_faults(self, tmp_path: Path, params: dict[str, Any], said: str) -> None:
        assert said in refusal(tmp_path, with_neck(**params))

    def test_our_own_keys_are_left_alone(self, tmp_path: Path) -> None:
        text = "model: {architecture: {neck: {params: {min_level: 2, extra_convs: on_output}}}}"
        loaded = read(tmp_path, text + "\n", "model.architecture.head.params.anchor_sizes=[[8], [16]]")
        assert loaded.notes == ()
        assert loaded.config.model.architecture.neck.params == schema.NeckParams(
            min_level=2, extra_convs="on_output"
        )


class TestLosses:
    def test_retinanet_loss(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, HEAD + "  losses:\n    - criterion: retinanet_loss\n      weight: ~\n")
        assert loaded.config.model.losses == schema.Losses(
            assigner=schema.IouAssigner(fg_iou_thresh=0.5, bg_iou_thresh=0.4, allow_low_quality=True),
            classification=schema.FocalLoss(focal_alpha=0.25, focal_gamma=2.0),
            box=schema.BoxLoss(name="l1"),
            normalizer="image_positives",
        )
        assert any("n.yaml:17: retinanet_loss is read as" in note.text for note in loaded.notes)

    def test_weight_and_overrides(self, tmp_path: Path) -> None:
        text = "model: {losses: [{criterion: retinanet_loss, weight: 2}]}"
        losses = read(tmp_path, text, "model.losses.assigner.name=atss").config.model.losses
        assert (losses.classification.weight, losses.box.weight) == (2, 2)
        assert losses.assigner == schema.AtssAssigner(name="atss")

    @pytest.mark.parametrize(
        ("losses", "said"),
        [
            ("[{criterion: cross_entropy}]", "criterion 'cross_entropy' has no equal here"),
            ("[]", "model.losses as a list must be"),
            ("[{criterion: retinanet_loss, wait: 1}]", "model.losses as a list must be"),
            ("[{criterion: retinanet_loss, weight: -1}]", "weight -1 is not allowed"),
        ],
    )
    def test_faults(self, tmp_path: Path, losses: str, said: str) -> None:
        message = refusal(tmp_path, f"model:\n  losses: {losses}\n")
        assert message.startswith("n.yaml:2: ")
        assert said in message
        assert "\n" not in message


STAGES = """\
      stage_params:
        - {channels: 64, num_blocks: 3}
        - {channels: 128, num_blocks: 4, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
        - {channels: 256, num_blocks: 6, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
        - {channels: 512, num_blocks: 3, replace_stride_with_dilation: False, replace_stride_with_pooling: False}
"""
WHOLE = (
    """\
model:
  task: detection
  name: mine
  checkpoint: {use_pretrained: True, load_head: False, path: ~, optimizer_path: ~}
  freeze_backbone: False
  architecture:
    full: ~
    backbone:
      name: resnet
      params:
        block_type: bottleneck
        norm_type: batch_norm
        return_stage_idx: [0, 1, 2, 3]
        split_stem_conv: False
        first_stage_shortcut_conv: False
"""
    + STAGES
    + """\
    neck:
      name: fpn
      params: {num_outs: 4, start_level: 0, end_level: -1, add_extra_convs: False, relu_before_extra_convs: False}
"""
    + HEAD[HEAD.index("    head:") :]
    + "  losses: [{criterion: retinanet_loss, weight: ~}]\n"
)


def with_backbone(block: str, blocks: list[int], **changes: Any) -> str:
    """A whole file with other blocks; changes: of the parameters, or of every stage but the first."""
    tree = yaml.safe_load(WHOLE)
    backbone = tree["model"]["architecture"]["backbone"]
    backbone["params"]["block_type"] = block
    for number, (stage, count) in enumerate(zip(backbone["stage_params"], blocks, strict=True)):
        stage["num_blocks"] = count
        stage.update({name: value for name, value in changes.items() if number and name in stage})
    backbone["params"].update({name: value for name, value in changes.items() if name in backbone["params"]})
    return yaml.safe_dump(tree)


class TestWholeFile:
    def test_loads_as_any_other(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, WHOLE)
        architecture = loaded.config.model.architecture
        assert architecture.backbone == schema.Backbone(
            name="resnet50", params=schema.BackboneParams(weights="imagenet", batch_norm="trained")
        )
        assert (architecture.neck.params.min_level, architecture.neck.params.out_channels) == (2, 2048)
        assert loaded.config.model.losses.normalizer == "image_positives"
        said = " ".join(note.text for note in loaded.notes)
        assert "backbone resnet is read as model.architecture.backbone.name resnet50" in said
        assert "neck.params.out_channels is 2048" in said

    def test_a_width_of_ones_own_stays(self, tmp_path: Path) -> None:
        text = WHOLE.replace("num_outs: 4,", "num_outs: 4, out_channels: 256,")
        assert read(tmp_path, text).config.model.architecture.neck.params.out_channels == 256
        neck = "model.architecture.neck.params.out_channels=128"
        assert read(tmp_path, WHOLE, neck).config.model.architecture.neck.params.out_channels == 128

    @pytest.mark.parametrize("weights", [True, False])
    def test_pretrained(self, tmp_path: Path, weights: bool) -> None:
        text = WHOLE.replace("use_pretrained: True", f"use_pretrained: {weights}")
        found = read(tmp_path, text).config.model.architecture.backbone.params.weights
        assert found == ("imagenet" if weights else None)

    def test_a_checkpoint_of_theirs_is_not_loaded(self, tmp_path: Path) -> None:
        notes = read(tmp_path, WHOLE.replace(" path: ~", " path: mine.safetensors")).notes
        (warning,) = [note.text for note in notes if note.warning]
        assert (
            "checkpoint.path mine.safetensors is not loaded: weights are taken over by foveal convert"
            in warning
        )


class TestBackbone:
    @pytest.mark.parametrize(
        ("block", "blocks", "name"),
        [
            ("basicblock", [2, 2, 2, 2], "resnet18"),
            ("basicblock", [3, 4, 6, 3], "resnet34"),
            ("bottleneck", [3, 4, 6, 3], "resnet50"),
            ("bottleneck", [3, 4, 23, 3], "resnet101"),
            ("bottleneck", [3, 8, 36, 3], "resnet152"),
        ],
    )
    def test_shapes_of_timm(self, tmp_path: Path, block: str, blocks: list[int], name: str) -> None:
        architecture = read(tmp_path, with_backbone(block, blocks)).config.model.architecture
        assert architecture.backbone.name == name
        with torch.device("meta"):
            network = timm.create_model(name)
        stages = [getattr(network, f"layer{number}") for number in (1, 2, 3, 4)]
        assert [len(stage) for stage in stages] == blocks
        assert {type(stage[0]).__name__.lower() for stage in stages} == {block}
        # The neck is as wide as the last stage (models/necks/experimental/fpn.py).
        assert architecture.neck.params.out_channels == network.num_features

    def test_pooled_shortcuts_and_a_split_stem_are_resnet_d(self, tmp_path: Path) -> None:
        text = with_backbone(
            "bottleneck", [3, 4, 6, 3], split_stem_conv=True, replace_stride_with_pooling=True
        )
        assert read(tmp_path, text).config.model.architecture.backbone.name == "resnet50d"
        with torch.device("meta"):
            network = timm.create_model("resnet50d")
        # Their stem: 3x3 convolutions of 32, 32 and 64 channels, the first of stride 2; average pooling before
        # a shortcut's convolution wherever the stride is 2 (models/backbones/core/resnet.py).
        stem = [layer for layer in network.conv1 if isinstance(layer, torch.nn.Conv2d)]
        assert [(layer.out_channels, layer.kernel_size, layer.stride) for layer in stem] == [
            (32, (3, 3), (2, 2)),
            (32, (3, 3), (1, 1)),
            (64, (3, 3), (1, 1)),
        ]
        for number in (2, 3, 4):
            pool, convolution = getattr(network, f"layer{number}")[0].downsample[:2]
            assert (pool.kernel_size, pool.stride, convolution.stride) == (2, 2, (1, 1))

    def test_stages_that_are_returned_are_levels(self, tmp_path: Path) -> None:
        text = with_backbone("bottleneck", [3, 4, 6, 3], return_stage_idx=[1, 2, 3])
        text = text.replace("add_extra_convs: false", "add_extra_convs: on_output")
        neck = read(tmp_path, text).config.model.architecture.neck.params
        assert (neck.min_level, neck.extra_convs) == (3, "on_output")

    @pytest.mark.parametrize(
        ("blocks", "changes", "said"),
        [
            ([2, 2, 2, 2], {}, "2, 2, 2, 2 blocks of bottleneck are no known depth"),
            (
                [3, 4, 6, 3],
                {"block_type": "plain"},
                "block_type 'plain' is neither basicblock nor bottleneck",
            ),
            ([3, 4, 6, 3], {"norm_type": "instance_norm"}, "its norm is 'instance_norm', not batch_norm"),
            (
                [3, 4, 6, 3],
                {"replace_stride_with_dilation": True},
                "keeps a stage at the stride of the one before",
            ),
            ([3, 4, 6, 3], {"split_stem_conv": True}, "must both be on, in every stage, or both off"),
            (
                [3, 4, 6, 3],
                {"channels": 64},
                "its stages have 64, 64, 64, 64 channels, not 64, 128, 256, 512",
            ),
            ([3, 4, 6, 3], {"return_stage_idx": [0, 2, 3]}, "return_stage_idx [0, 2, 3] leaves a stage out"),
        ],
    )
    def test_what_cannot_be_built(self, tmp_path: Path, blocks: list[int], changes: Any, said: str) -> None:
        message = refusal(tmp_path, with_backbone("bottleneck", blocks, **changes))
        assert said in message
        assert "\n" not in message

    def test_a_shortcut_that_basicblock_has_not(self, tmp_path: Path) -> None:
        text = with_backbone("basicblock", [2, 2, 2, 2], first_stage_shortcut_conv=True)
        assert "puts a convolution where a basicblock has none" in refusal(tmp_path, text)

    def test_other_networks_of_theirs(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, WHOLE.replace("name: resnet\n", "name: mobilenetv3\n"))
        assert "backbone 'mobilenetv3' of NetsPresso cannot be built" in message
        assert "\n" not in message


def netspresso_anchors(sizes: list[list[int]], ratios: list[float], grids: list[int]) -> list[list[float]]:
    """Every anchor [x1, y1, x2, y2], level by level, cell by cell, as NetsPresso places them (square grids).

    models/heads/detection/experimental/detection/anchor_generator.py: sides h = size * sqrt(ratio), w = size /
    sqrt(ratio); corners at half of them, rounded, halves to even; cell i, j stands at (j, i) * (512 // grid).
    """
    anchors = []
    for level, grid in zip(sizes, grids, strict=True):
        step = 512 // grid
        for i in range(grid):
            for j in range(grid):
                for ratio in ratios:
                    for size in level:
                        half_w, half_h = size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2
                        x, y = j * step, i * step
                        anchors.append(
                            [x - round(half_w), y - round(half_h), x + round(half_w), y + round(half_h)]
                        )
    return anchors


class TestCompat:
    SMALL = with_backbone("basicblock", [2, 2, 2, 2]).replace("use_pretrained: true", "use_pretrained: false")

    def anchors(self, loaded: Loaded, side: int) -> torch.Tensor:
        """All anchors of the model that the file builds, for a picture of this side."""
        detector = build_detector(loaded.config.model, num_classes=2, pretrained=False)
        grids = [side // stride for stride in detector.strides]
        levels = detector.head.anchors([torch.zeros(1, 1, grid, grid) for grid in grids])
        return torch.cat([level.boxes for level in levels])

    @pytest.mark.parametrize("side", [512, 640, 256])
    def test_anchors_are_those_of_netspresso(self, tmp_path: Path, side: int) -> None:
        loaded = read(tmp_path, self.SMALL.replace("model:\n", "model:\n  compat: netspresso_512\n"))
        grids = [side // stride for stride in (4, 8, 16, 32)]
        expected = netspresso_anchors([[32], [64], [128], [256]], [0.5, 1.0, 2.0], grids)
        assert torch.equal(self.anchors(loaded, side), torch.tensor(expected))

    def test_the_fault_that_it_reproduces(self, tmp_path: Path) -> None:
        """At 640 the last centres stand at 4/5 of the picture: 512 // 160 is 3, where the stride is 4."""
        theirs = read(tmp_path, self.SMALL, "model.compat=netspresso_512")
        ours = read(tmp_path, self.SMALL)
        for loaded, part in ((theirs, 0.75), (ours, 1.0)):
            boxes = self.anchors(loaded, 640)[: 160 * 160 * 3]
            centre = (boxes[:, :2] + boxes[:, 2:]) / 2
            assert float(centre.max()) == pytest.approx(640 * part, abs=4)

    @pytest.mark.parametrize(
        "text", ["compat: netspresso_512\nmodel: {}\n", "model: {compat: netspresso_512}\n"]
    )
    def test_both_places(self, tmp_path: Path, text: str) -> None:
        loaded = read(tmp_path, text)
        params = loaded.config.model.architecture.head.params
        assert (params.anchor_offset, params.anchor_rounding, params.anchor_step) == (0, "whole", 512)
        assert any(
            "compat: netspresso_512 is read as model.architecture.head" in note.text for note in loaded.notes
        )

    def test_with_a_preset(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, "model: {preset: netspresso}\n", "model.compat=netspresso_512")
        params = loaded.config.model.architecture.head.params
        assert (params.anchor_step, params.num_layers) == (512, 1)

    def test_faults(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, "model: {compat: netspresso_640}\n")
        assert (
            message == "n.yaml:1: compat: 'netspresso_640' is not allowed; allowed: netspresso_512, or null"
        )
        text = "model:\n  compat: netspresso_512\n  architecture: {head: {params: {anchor_step: canvas}}}\n"
        assert "asks for anchor_step 512, but anchor_step is 'canvas' (n.yaml:3)" in refusal(tmp_path, text)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = with_neck(num_outs=5) + "training: {epoch: 3}\n"
    assert len(refusal(tmp_path, text).splitlines()) == 2
