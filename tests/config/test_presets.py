"""Presets: each cell of the table of differences, with where it was read; and how a preset meets a file's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from foveal.config import schema
from foveal.config.load import dump_config, load_config, read_config
from foveal.config.presets import PRESETS
from foveal.errors import UsageError

HEAD, NECK, BACKBONE = "architecture.head.params", "architecture.neck.params", "architecture.backbone.params"
PIXELS, POST = "architecture.pixels", "postprocessor.params"
EXACT = [[s * 2 ** (o / 3) for o in range(3)] for s in (32, 64, 128, 256, 512)]
WHOLE = [[32, 40, 50], [64, 80, 101], [128, 161, 203], [256, 322, 406], [512, 645, 812]]
CENTRE, CORNERS = {"name": "centre", "weights": (1, 1, 1, 1)}, {"name": "corners", "std": 0.2}
CELLS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "section 4, Anchors": {f"{HEAD}.anchor_sizes": EXACT, f"{HEAD}.aspect_ratios": [0.5, 1, 2]},
        "section 4, Anchors: IoU 0.5, [0, 0.4), at most one box": {
            "losses.assigner.allow_low_quality": False
        },
        "section 4, Feature Pyramid, footnote 2": {
            f"{NECK}.extra_convs": "on_input",
            f"{NECK}.relu_before_extra_convs": True,
        },
        "section 4.1, Focal Loss: by the number of anchors assigned": {
            "losses.normalizer": "batch_positives"
        },
        "section 4.1, Inference": {
            f"{POST}.topk_candidates": 1000,
            f"{POST}.score_thresh": 0.05,
            f"{POST}.nms_thresh": 0.5,
        },
        "section 4.1, Optimization: standard smooth L1": {
            "losses.box.name": "smooth_l1",
            "losses.box.beta": 1,
        },
    },
    "torchvision_v1": {
        "retinanet.py, _default_anchorgen": {f"{HEAD}.anchor_sizes": WHOLE},
        "anchor_utils.py, generate_anchors: round()": {f"{HEAD}.anchor_rounding": "whole"},
        "anchor_utils.py, grid_anchors": {f"{HEAD}.anchor_offset": 0, f"{HEAD}.anchor_order": "ratio_major"},
        "anchor_utils.py, forward: image_size // grid": {f"{HEAD}.anchor_step": "canvas"},
        "retinanet.py, BoxCoder(1, 1, 1, 1)": {f"{HEAD}.box_coder": CENTRE},
        "retinanet.py, Matcher(allow_low_quality_matches)": {"losses.assigner.allow_low_quality": True},
        "retinanet.py, compute_loss: per image": {"losses.normalizer": "image_positives"},
        "retinanet.py, _loss_type l1": {"losses.box.name": "l1"},
        "retinanet.py, LastLevelP6P7(256, 256)": {f"{NECK}.extra_convs": "on_output"},
        "retinanet.py, detections_per_img": {f"{POST}.detections_per_img": 300},
        "transform.py": {f"{PIXELS}.order": "rgb"},
        "retinanet.py, no norm": {f"{HEAD}.norm_type": "none"},
    },
    "torchvision_v2": {
        "retinanet.py, LastLevelP6P7(2048, 256)": {f"{NECK}.extra_convs": "on_input"},
        "retinanet.py, GroupNorm(32)": {f"{HEAD}.norm_type": "group_norm"},
        "retinanet.py, _loss_type giou": {"losses.box.name": "giou"},
        "the rest as v1": {f"{HEAD}.anchor_step": "canvas", "losses.normalizer": "image_positives"},
    },
    "detectron2": {
        "Base-RetinaNet.yaml, ANCHOR_GENERATOR": {f"{HEAD}.anchor_sizes": EXACT},
        "anchor_generator.py": {f"{HEAD}.anchor_offset": 0, f"{HEAD}.anchor_order": "size_major"},
        "Base-RetinaNet.yaml, SMOOTH_L1_LOSS_BETA 0": {"losses.box.name": "l1"},
        "retinanet.py, allow_low_quality_matches": {"losses.assigner.allow_low_quality": True},
        "retinanet.py, loss_normalizer": {"losses.normalizer": "ema_positives"},
        "defaults.py, INPUT.FORMAT, PIXEL_MEAN, PIXEL_STD": {
            f"{PIXELS}.order": "bgr",
            f"{PIXELS}.mean": (103.53, 116.28, 123.675),
            f"{PIXELS}.std": (1, 1, 1),
        },
        "defaults.py, STRIDE_IN_1X1": {f"{BACKBONE}.stride_in_1x1": True},
        "fpn.py, LastLevelP6P7 of res5": {f"{NECK}.extra_convs": "on_input"},
        "defaults.py, DETECTIONS_PER_IMAGE": {f"{POST}.detections_per_img": 100},
    },
    "mmdetection": {
        "retinanet_r50_fpn.py, anchor_generator": {
            f"{HEAD}.anchor_sizes": EXACT,
            f"{HEAD}.anchor_offset": 0,
            f"{HEAD}.anchor_order": "ratio_major",
        },
        "retinanet_r50_fpn.py, add_extra_convs": {
            f"{NECK}.extra_convs": "on_input",
            f"{NECK}.relu_before_extra_convs": False,
        },
        "retinanet_r50_fpn.py, min_pos_iou 0": {"losses.assigner.allow_low_quality": True},
        "retinanet_r50_fpn.py, loss_bbox": {"losses.box.name": "l1"},
        "retinanet_r50_fpn.py, test_cfg": {
            f"{POST}.detections_per_img": 100,
            f"{POST}.topk_candidates": 1000,
        },
    },
    "odtk": {
        "model.py and box.py, generate_anchors": {
            f"{HEAD}.anchor_order": "size_major",
            f"{HEAD}.aspect_ratios": [1, 2, 0.5],
            f"{HEAD}.anchor_offset": 0.5,
        },
        "box.py, box2delta: + 1": {f"{HEAD}.anchor_corners": "inclusive"},
        "box.py, snap_to_anchors: no forced match": {"losses.assigner.allow_low_quality": False},
        "loss.py": {"losses.box.name": "smooth_l1", "losses.box.beta": 0.11},
        "model.py, by the targets of the batch": {"losses.normalizer": "batch_positives"},
        "model.py, detections": {f"{POST}.detections_per_img": 100},
    },
    "keras_retinanet": {
        "utils/anchors.py": {f"{HEAD}.anchor_offset": 0.5, f"{HEAD}.anchor_order": "ratio_major"},
        "utils/anchors.py, bbox_transform": {f"{HEAD}.box_coder": CORNERS},
        "utils/anchors.py, compute_gt_annotations": {"losses.assigner.allow_low_quality": False},
        "losses.py, smooth_l1(sigma 3)": {"losses.box.name": "smooth_l1", "losses.box.beta": 1 / 9},
        "losses.py, normalizer": {"losses.normalizer": "batch_positives"},
        "utils/image.py, preprocess_image caffe": {
            f"{PIXELS}.order": "bgr",
            f"{PIXELS}.mean": (103.939, 116.779, 123.68),
        },
        "models/retinanet.py, padding same": {
            f"{NECK}.extra_padding": "tensorflow",
            f"{BACKBONE}.pool_padding": "tensorflow",
        },
        "keras_resnet, bottleneck_2d": {f"{BACKBONE}.stride_in_1x1": True},
        "filter_detections.py": {f"{POST}.detections_per_img": 300, f"{POST}.topk_candidates": None},
    },
    "yhenon": {
        "losses.py, targets / [0.1, 0.1, 0.2, 0.2]": {
            f"{HEAD}.box_coder": {"name": "centre", "weights": (10, 10, 5, 5)}
        },
        "losses.py, mean over deltas": {"losses.box.beta": 1 / 9, "losses.box.weight": 0.25},
        "losses.py, per image": {"losses.normalizer": "image_positives"},
        "losses.py, no forced match": {"losses.assigner.allow_low_quality": False},
        "model.py, forward": {f"{POST}.detections_per_img": None, f"{POST}.topk_candidates": None},
    },
    "netspresso": {
        "anchor_decoupled_head, anchor generator": {
            f"{HEAD}.anchor_sizes": [[32], [64], [128], [256]],
            f"{HEAD}.anchor_offset": 0,
            f"{HEAD}.anchor_rounding": "whole",
            f"{NECK}.min_level": 2,
        },
        "losses/detection/retinanet.py": {
            "losses.box.name": "l1",
            "losses.normalizer": "image_positives",
            "losses.assigner.allow_low_quality": True,
        },
        "no maximum number of detections": {f"{POST}.detections_per_img": None},
    },
}


def load(folder: Path, text: str, *overrides: str) -> schema.Model:
    path = folder / "file.yaml"
    path.write_text(text)
    return load_config(path, overrides, require_data=False).model


def at(model: schema.Model, dotted: str) -> Any:
    value: Any = model.model_dump()
    for name in dotted.split("."):
        value = value[name]
    return value


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str, tmp_path: Path) -> None:
    model = load(tmp_path, f"model: {{preset: {name}}}\n")
    for source, cells in CELLS[name].items():
        for key, expected in cells.items():
            assert at(model, key) == expected, f"{name}, {source}: {key}"


def test_every_preset_is_held_and_known_to_the_schema() -> None:
    assert CELLS.keys() == PRESETS.keys() == set(get_args(schema.PresetName))


def test_the_files_own_settings_win(tmp_path: Path) -> None:
    text = """
model:
  preset: detectron2
  architecture: {head: {params: {anchor_offset: 0.25}}}
  losses: {assigner: {name: atss}, box: {name: giou}}
"""
    model = load(tmp_path, text, "model.postprocessor.params.detections_per_img=7")
    assert at(model, f"{HEAD}.anchor_offset") == 0.25
    assert at(model, f"{HEAD}.anchor_order") == "size_major"
    assert at(model, "losses.assigner") == {"name": "atss", "topk": 9}
    assert at(model, "losses.box.name") == "giou"
    assert at(model, f"{POST}.detections_per_img") == 7
    (note,) = read_config(tmp_path / "file.yaml", require_data=False).notes
    assert note.text.startswith(f"{tmp_path / 'file.yaml'}:3: settings of detectron2; the file's own stay: ")
    assert "architecture.head.params.anchor_offset, losses.assigner, losses.box" in note.text


def test_a_preset_may_come_from_an_override(tmp_path: Path) -> None:
    assert at(load(tmp_path, "model: {}\n", "model.preset=odtk"), f"{HEAD}.anchor_corners") == "inclusive"


@pytest.mark.parametrize("name", PRESETS)
def test_a_resolved_file_loads_back_equal(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"model: {{preset: {name}, losses: {{box: {{name: l1}}}}}}\n")
    config = load_config(tmp_path / "a.yaml", require_data=False)
    (tmp_path / "b.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "b.yaml", require_data=False) == config


@pytest.mark.parametrize("value", ["torchvision", "[1]", "true"])
def test_an_unknown_preset(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"model:\n  preset: {value}\n")
    assert "file.yaml:2: model.preset: " in str(caught.value)
    assert "allowed: paper, torchvision_v1, torchvision_v2, detectron2" in str(caught.value)
