"""Whole predictions of both sides: the same weights, the same picture, the same detections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models.detection import RetinaNet

from foveal.bench import prediction, twins
from foveal.bench.case import Absent, Case, Setup
from foveal.bench.prediction import Variant
from foveal.runtime import backends

QUICK = Setup(quick=True)


@pytest.fixture(scope="module")
def theirs() -> RetinaNet:
    """torchvision's model, made once."""
    return twins.make_torchvision(twins.make_picture(256, 320))


@pytest.fixture(scope="module")
def torch_cases(theirs: RetinaNet) -> list[Case]:
    """The two scenes in torch's float32; other backends are compared with it in tests/runtime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "make_torchvision", lambda picture: theirs)
        for name in ("DENSE", "FEW"):
            patch.setattr(prediction, name, (Variant("torch", "fp32", 1.4),))
        return [case for case in prediction.cases(QUICK) if isinstance(case, Case)]


def test_the_same_detections(torch_cases: list[Case]) -> None:
    assert len(torch_cases) == 2
    for case, least in zip(torch_cases, (300, 100), strict=True):
        ours, theirs = case.ours(), case.baseline()
        assert len(theirs["scores"]) >= least
        said = case.difference(ours, theirs)
        assert said.startswith(f"{len(theirs['scores'])} detections")
        assert said.endswith("0 excused, 0 different")


def test_a_wrong_output_is_told(torch_cases: list[Case]) -> None:
    case = torch_cases[1]
    ours, theirs = case.ours(), case.baseline()
    wrong = ours._replace(boxes=ours.boxes + 1)
    assert not case.difference(wrong, theirs).endswith(" 0 different")
    nothing = {name: column[:0] for name, column in theirs.items()}
    with pytest.raises(ValueError, match="nothing to compare"):
        case.difference(ours, nothing)


def test_the_scores_are_spread(theirs: RetinaNet) -> None:
    """A fresh network has no candidate: there would be nothing to compare, and no work after the network."""
    with torch.no_grad():
        pixels = theirs.transform([twins.to_float(twins.make_picture(256, 320))])[0].tensors
        assert tuple(pixels.shape[2:]) == (256, 320)
        outputs = theirs.head(list(theirs.backbone(pixels).values()))
    scores = outputs["cls_logits"].sigmoid()
    share = float((scores > theirs.score_thresh).float().mean())
    assert share == pytest.approx(twins.CANDIDATE_SHARE, rel=0.01)
    assert float(outputs["bbox_regression"].std()) == pytest.approx(twins.DELTA_STD, rel=0.01)


def test_a_picture_of_two_parts() -> None:
    picture = twins.make_picture(100, 200, 0.3)
    assert (picture[:35] == 114).all()
    assert (picture[:, 130:] == 114).all()
    assert picture[35:65, 70:130].std() > 20
    assert (twins.make_picture(100, 200)[35:65, 70:130] == picture[35:65, 70:130]).all()


def test_every_target_of_the_table() -> None:
    targets = {(v.backend, v.precision): v.target for v in prediction.DENSE if v.target is not None}
    assert targets == {
        ("torch", "fp32"): 1.4,
        ("openvino", "fp32"): 1.9,
        ("openvino", "bf16"): 3.4,
        ("openvino", "int8"): 6.5,
    }
    assert all(v.precision in backends.POSSIBLE[v.backend] for v in (*prediction.DENSE, *prediction.GPU))


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, theirs: RetinaNet) -> None:
    monkeypatch.setattr(prediction, "make_torchvision", lambda picture: theirs)
    monkeypatch.setattr(prediction, "make_foveal", lambda model: None)
    missing: Any = lambda backend, precision: ["openvino"]  # noqa: E731
    monkeypatch.setattr(prediction, "missing_packages", missing)
    found = list(prediction.cases(QUICK))
    assert all(isinstance(case, Absent) and "foveal[export]" in case.reason for case in found)
    assert len(found) == len(prediction.DENSE) + len(prediction.FEW)
