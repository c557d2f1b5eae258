"""The lab's settings: what each trains, and the figures of the paper that it is set beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foveal.build import build_detector
from foveal.config.load import load_config
from foveal.errors import UsageError
from foveal.lab.settings import all_settings, base_text, choose, diverged_in_paper, paper_tables


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("lab") / "base.yaml"
    base.write_text(base_text())
    return {name: load_config(base, setting.changes) for name, setting in all_settings().items()}


def test_an_hour_holds_them() -> None:
    """At most 24 settings: with three seeds of 45 seconds less than an hour."""
    assert len(all_settings()) <= 24


CE = {"name": "cross_entropy", "alpha": None}
OHEM = {"name": "ohem", "negatives_per_positive": None}


@pytest.mark.parametrize(
    ("name", "loss", "mining", "prior"),
    [
        ("ce", CE, None, 0.5),
        ("ce_pi", CE, None, 0.01),
        ("alpha_25", CE | {"alpha": 0.25}, None, 0.01),
        ("alpha_50", CE | {"alpha": 0.5}, None, 0.01),
        ("alpha_75", CE | {"alpha": 0.75}, None, 0.01),
        ("gamma_05", {"name": "focal", "focal_alpha": 0.5, "focal_gamma": 0.5}, None, 0.01),
        ("gamma_1", {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 1.0}, None, 0.01),
        ("focal", {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 2.0}, None, 0.01),
        ("gamma_5", {"name": "focal", "focal_alpha": 0.25, "focal_gamma": 5.0}, None, 0.01),
        ("ohem_128_nms7", CE, OHEM | {"examples": 128, "nms_thresh": 0.7}, 0.01),
        ("ohem_128", CE, OHEM | {"examples": 128, "nms_thresh": 0.5}, 0.01),
        ("ohem_256", CE, OHEM | {"examples": 256, "nms_thresh": 0.5}, 0.01),
        ("ohem_512", CE, OHEM | {"examples": 512, "nms_thresh": 0.5}, 0.01),
        (
            "ohem_128_1to3",
            CE,
            {"name": "ohem", "examples": 128, "nms_thresh": 0.5, "negatives_per_positive": 3.0},
            0.01,
        ),
        ("ssd", CE, {"name": "ssd", "negatives_per_positive": 3.0}, 0.01),
    ],
)
def test_losses(configs: Any, name: str, loss: dict[str, Any], mining: Any, prior: float) -> None:
    model = configs[name].model
    classification = model.losses.classification.model_dump()
    assert {key: classification[key] for key in loss} == loss
    assert classification["weight"] == 1.0
    assert (model.losses.mining and model.losses.mining.model_dump()) == mining
    assert model.architecture.head.params.prior_prob == prior


@pytest.mark.parametrize(
    ("name", "anchors"),
    [
        ("anchors_1x1", 1),
        ("anchors_2x1", 2),
        ("anchors_3x1", 3),
        ("anchors_1x3", 3),
        ("anchors_2x3", 6),
        ("focal", 9),
        ("anchors_4x3", 12),
    ],
)
def test_anchors_of_a_cell(configs: Any, name: str, anchors: int) -> None:
    model = configs[name].model
    head = build_detector(model, 3, pretrained=False).head
    assert head.num_anchors == anchors
    scales = model.architecture.head.params.octave_scales
    steps = len(scales)
    assert scales == pytest.approx([2 ** (k / steps) for k in range(steps)], abs=1e-6)
    assert model.losses == configs["focal"].model.losses


def test_everything_else_is_the_same(configs: Any) -> None:
    for config in configs.values():
        assert config.training == configs["focal"].training
        assert config.data == configs["focal"].data
        assert config.model.architecture.backbone == configs["focal"].model.architecture.backbone
        assert config.model.losses.box == configs["focal"].model.losses.box
        assert config.model.losses.assigner == configs["focal"].model.losses.assigner


def test_a_setting_wins_over_what_a_configuration_has(tmp_path: Path) -> None:
    """Mining and another loss in a person's own file are not what "focal" means."""
    base = tmp_path / "mine.yaml"
    base.write_text(
        "data: {train: {format: shapes}, val: {format: shapes}}\n"
        "model: {losses: {classification: {name: quality_focal}, mining: {name: ssd}}}\n"
        "training: {early_stopping: 2}\n"
    )
    config = load_config(base, all_settings()["focal"].changes)
    assert config.model.losses.classification.model_dump() == {
        "name": "focal",
        "focal_alpha": 0.25,
        "focal_gamma": 2.0,
        "weight": 1.0,
    }
    assert config.model.losses.mining is None
    assert config.training.early_stopping is None


def test_figures_of_the_paper() -> None:
    """Table 1 of Lin et al. 2017, the column AP; cross entropy without pi "diverges" (section 5.1)."""
    losses, anchors, mining = (table.rows for table in paper_tables())
    assert list(losses.values()) == [0.0, 30.2, 10.8, 30.2, 31.1, 32.9, 33.7, 34.0, 32.2]
    assert list(anchors.values()) == [30.3, 31.9, 31.8, 32.4, 34.2, 34.0, 33.8]
    assert list(mining.values()) == [31.1, 32.8, 31.0, 27.6, 31.1, None, 36.0]
    assert diverged_in_paper() == {"ce"}
    assert {name for table in paper_tables() for name in table.rows} == set(all_settings())


def test_choosing() -> None:
    assert [setting.name for setting in choose(["focal", "ce"])] == ["ce", "focal"]
    assert len(choose([])) == len(all_settings())
    main = ["ce", "ce_pi", "alpha_75", "focal", "ohem_128", "ssd"]
    assert [setting.name for setting in choose([], only_main=True)] == main
    assert [setting.name for setting in choose(["gamma_5"], only_main=True)] == ["gamma_5"]
    with pytest.raises(UsageError, match="no setting 'alpha75'; did you mean alpha_75"):
        choose(["alpha75"])
    with pytest.raises(UsageError, match="no setting 'x'; there are ce, ce_pi, "):
        choose(["x"])
