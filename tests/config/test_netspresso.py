"""NetsPresso's spellings of the model section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

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
        assert any("n.yaml:16: retinanet_loss is read as" in note.text for note in loaded.notes)

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


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = with_neck(num_outs=5) + "training: {epoch: 3}\n"
    assert len(refusal(tmp_path, text).splitlines()) == 2
