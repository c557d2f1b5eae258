"""Every cause is put in on purpose, and found by its name; a sound case has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from foveal.build import build_inference
from foveal.data.shapes import make_shapes
from foveal.data.tiled import TiledRecords
from foveal.diagnosis.preflight.attempt import PASS, Attempt, Bench, ap50
from foveal.diagnosis.preflight.case import backbone_features, choose_pictures, make_case
from foveal.diagnosis.preflight.causes import after_findings
from foveal.diagnosis.preflight.check import overfit_case, preflight
from foveal.diagnosis.preflight.labels import degenerate_findings, lying_findings, matching_findings
from foveal.diagnosis.preflight.pixels import pixel_findings

SWAP = [1, 0, 3, 2]


def rules(findings: Any) -> list[str]:
    return [finding.rule for finding in findings]


def small_case(config: Any) -> Any:
    return make_case(config, make_shapes(12, 3, 96), pictures=4)


def test_a_sound_case_is_learned_and_has_no_findings(learned: Any) -> None:
    case, attempt = learned
    assert attempt.ap50 > PASS
    assert not lying_findings(case)
    assert not degenerate_findings(case)
    assert not matching_findings(case, case.criterion(attempt.outputs, case.batch.targets))


def test_classes_numbered_differently_are_named(learned: Any) -> None:
    case, attempt = learned
    turned = case._replace(truth=replace(case.truth, labels=(case.truth.labels + 1) % 3))
    found = after_findings(turned, attempt, 60)
    assert rules(found) == ["class_map"]
    names = case.truth.classes.names
    assert any(f"'{names[(k + 1) % 3]}' found as '{names[k]}'" in found[0].message for k in range(3))


def test_boxes_measured_in_another_order_are_named(learned: Any) -> None:
    case, attempt = learned
    found = after_findings(
        case._replace(truth=replace(case.truth, boxes=case.truth.boxes[:, SWAP])), attempt, 60
    )
    assert rules(found) == ["box_order"]
    assert "y1, x1, y2, x2" in found[0].message


def test_labels_with_x_and_y_swapped_do_not_lie_on_anything(make_config: Any) -> None:
    """Trained and measured alike, so that they could be learned by heart all the same."""
    sound = make_shapes(12, 3, 96)
    case = make_case(make_config(), replace(sound, boxes=sound.boxes[:, SWAP]), pictures=8)
    assert rules(lying_findings(case)) == ["box_order"]
    assert not lying_findings(make_case(make_config(), sound, pictures=8))


def test_width_and_height_in_the_place_of_a_corner_are_named(learned: Any) -> None:
    case, _ = learned
    targets = tuple(
        target._replace(
            boxes=torch.cat([target.boxes[:, :2], target.boxes[:, 2:] - target.boxes[:, :2]], dim=1)
        )
        for target in case.batch.targets
    )
    damaged = case._replace(batch=case.batch._replace(targets=targets))
    attempt, found = overfit_case(damaged, steps=1)
    assert attempt is None
    assert "box_order" in rules(found)
    assert "as x, y, width, height 100 %" in next(f.message for f in found if f.rule == "box_order")


def test_a_threshold_that_hides_everything_is_named(learned: Any, make_config: Any) -> None:
    case, attempt = learned
    config = make_config("model.postprocessor.params.score_thresh=0.999")
    hidden = case._replace(config=config, inference=build_inference(case.detector, config.model))
    assert ap50(hidden, attempt.outputs, hidden.inference) < PASS
    found = after_findings(hidden, attempt, 60)
    assert rules(found) == ["threshold"]
    assert found[0].where == "model.postprocessor.params.score_thresh"


def test_too_few_detections_are_named(learned: Any, make_config: Any) -> None:
    case, attempt = learned
    config = make_config("model.postprocessor.params.detections_per_img=1")
    cut = case._replace(config=config, inference=build_inference(case.detector, config.model))
    assert after_findings(cut, attempt, 60)[0].where == "model.postprocessor.params.detections_per_img"


def test_anchors_that_meet_no_box_are_named(make_config: Any) -> None:
    config = make_config(
        "model.architecture.head.params.anchor_sizes=[[400],[500]]",
        "model.losses.assigner={name: iou, allow_low_quality: false}",
    )
    result = preflight(config, make_shapes(12, 3, 96), memory=False)
    assert result.ap50 is None
    assert not result.passed
    assert rules(result.findings) == ["no_positives"]
    assert "positives per picture: 0.0; 100 % of boxes" in result.findings[0].message
    assert "smallest anchor 400 px" in result.findings[0].message


@pytest.mark.parametrize(("rate", "word"), [("1e-9", "low"), ("3000.0", "high")])
def test_a_rate_that_does_not_learn_is_named(make_config: Any, rate: str, word: str) -> None:
    """The test passes with another rate, and says so."""
    config = make_config(f"training.optimizer={{name: sgd, lr_per_16: {rate}}}")
    said: list[str] = []
    attempt, found = overfit_case(make_case(config, make_shapes(12, 3, 96), 2), 75, said.append)
    assert said[0].startswith("overfit test: 2 pictures, at most 75 steps of neck and head at ")
    assert attempt is not None
    assert attempt.ap50 > PASS
    assert rules(found) == ["learning_rate"]
    assert f"too {word}" in found[0].message


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "pixel_scale"),
        ({"mean": [0, 0, 0], "std": [1, 1, 1]}, "pixel_scale"),
        ({"mean": [0, 0, 0], "std": [255, 255, 255]}, "pixel_scale"),
        ({"order": "bgr"}, "colour_order"),
        ({}, None),
    ],
)
def test_pixels_that_are_not_the_backbones_are_named(
    make_config: Any, trained_weights: Any, change: dict[str, Any], rule: str | None
) -> None:
    config = make_config(
        f"model.architecture.backbone.params.weights={trained_weights}",
        *(f"model.architecture.pixels.{name}={value}" for name, value in change.items()),
    )
    batch = small_case(config).batch
    found = pixel_findings(config.model, batch.images)
    assert rules(found) == ([] if rule is None else [rule])
    if rule == "pixel_scale" and change["std"][0] <= 1:
        assert found[0].severity == "error"


def test_a_random_frozen_backbone_is_named_where_nothing_else_fits(learned: Any, make_config: Any) -> None:
    case, _ = learned
    frozen = case._replace(config=make_config("model.architecture.backbone.params.batch_norm=frozen"))
    untrained = Bench(small_case(case.config), backbone_features(small_case(case.config)))
    outputs = untrained.trainee(untrained.features)
    failed = Attempt([1.0, 1.0], 0.0, False, outputs)
    assert rules(after_findings(frozen, failed, 2)) == ["random_backbone"]
    assert rules(after_findings(case, failed, 2)) == ["unexplained"]
    assert rules(after_findings(case, failed._replace(diverged=True), 2)) == ["not_finite"]


def test_tiles_are_what_is_learned_where_the_data_is_tiled(make_config: Any) -> None:
    """Pictures of 192 px in tiles of 96: each on the whole canvas, with its own boxes, in its own place."""
    config = make_config("data.tiles={size: 96, overlap: 0.25, keep_empty: 1.0}")
    whole = make_shapes(6, 3, 192, seed=4, empty_share=0.0)
    case = make_case(config, whole, pictures=8)
    assert case.canvas == (96, 96)
    assert {(box.height, box.width) for box in case.batch.letterboxes} == {(96, 96)}
    assert len(set(case.batch.image_ids)) == len(case.batch.images) == 8
    assert isinstance(case.truth, TiledRecords)
    for place, (image, target) in enumerate(zip(case.batch.images, case.batch.targets, strict=True)):
        x1, y1, x2, y2 = case.truth.windows[place].tolist()
        picture = int(case.truth.picture[place])
        wanted = whole.load(picture)[y1:y2, x1:x2]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), wanted)
        boxes = whole.rows(picture).boxes
        for box in target.boxes[~target.crowd].numpy():
            gaps = np.abs(np.clip(boxes - [x1, y1, x1, y1], 0, 96) - box).max(axis=1)
            assert gaps.min() < 1e-3
        assert len(target.boxes[~target.crowd]) > 0
    found = case.truth_on_canvas()
    assert [len(boxes) for boxes, _ in found] == [int((~t.crowd).sum()) for t in case.batch.targets]


def test_every_class_has_a_picture_and_the_choice_is_the_same_again() -> None:
    records = make_shapes(60, 6, 64, empty_share=0.4)
    first, second = choose_pictures(records, 8, 0), choose_pictures(records, 8, 0)
    assert len(first) == 8
    assert set(first.labels.tolist()) == set(range(6))
    assert np.array_equal(first.image_ids, second.image_ids)
    assert (np.diff(first.offsets) > 0).all()


def test_nothing_is_written(make_config: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = preflight(make_config(), make_shapes(12, 3, 96), memory=False, steps=1)
    assert not list(tmp_path.iterdir())
    assert result.steps == 1
    assert not result.passed
    assert "overfit test failed" in result.lines()[0]
