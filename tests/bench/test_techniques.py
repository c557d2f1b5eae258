"""Every technique alone: the same detections with it and without it."""

from __future__ import annotations

import pytest
import torch

from foveal.bench import techniques
from foveal.bench.case import Absent, Case, Setup
from foveal.models.frozen_norm import FrozenBatchNorm2d


@pytest.fixture(scope="module")
def made() -> list[Case]:
    """The cases of torch; OpenVINO is compared with it in tests/runtime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(techniques, "missing_packages", lambda *_: ["openvino"])
        found = list(techniques.cases(Setup(quick=True)))
    assert isinstance(found[-1], Absent)
    return [case for case in found if isinstance(case, Case)]


def test_the_same_detections_with_and_without(made: list[Case]) -> None:
    assert len(made) == 5
    for case in made:
        ours, baseline = case.ours(), case.baseline()
        said = case.difference(ours, baseline)
        if "bf16" in case.name:
            assert "of 300 detections at IoU 0.5" in said
        else:
            assert said.endswith("0 excused, 0 different"), case.name
            wrong = ours._replace(boxes=ours.boxes + 1)
            assert not case.difference(wrong, baseline).endswith(" 0 different")


def test_each_baseline_lacks_what_it_is_named_for(made: list[Case]) -> None:
    """Else both sides would be the same, and the ratio one."""
    norms, layout, boxes, few, _ = (case.baseline.args[0] for case in made)  # type: ignore[attr-defined]
    ours = made[0].ours.args[0]  # type: ignore[attr-defined]
    kinds = torch.nn.BatchNorm2d | FrozenBatchNorm2d
    assert sum(isinstance(module, kinds) for module in norms.modules()) == 53
    assert not any(isinstance(module, kinds) for module in ours.modules())
    picture = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    for model, channels_last in ((layout, False), (ours, True)):
        (logits, *_), _ = model.branches.classify(picture)
        assert logits.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert boxes is few
    assert boxes.detector(picture).bbox_deltas[0].shape[1] == 64 * 9
