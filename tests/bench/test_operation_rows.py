"""The rows of single operations in their quick form: both sides agree, and a wrong output is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from foveal.bench import evaluation, focal_loss, matching, postprocess
from foveal.bench.case import Absent, Case, Setup
from foveal.bench.rows import ROWS

QUICK = Setup(quick=True)


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes seconds; tests/ops/test_fused_focal.py does it once."""
    monkeypatch.setattr(focal_loss, "compiler_works", lambda device: False)


def cases_of(row: str) -> Iterator[Case]:
    return (case for case in ROWS[row](QUICK) if isinstance(case, Case))


@pytest.mark.parametrize(
    ("row", "count", "said"),
    [
        ("focal_loss", 1, "of its size, 160,000 entries"),
        ("matching", 2, "0 mismatches of 5,787"),
        ("postprocess", 2, "0 classes of"),
        ("evaluation", 1, "12 of 12 numbers equal"),
    ],
)
def test_both_sides_agree(row: str, count: int, said: str) -> None:
    cases = list(cases_of(row))
    assert len(cases) == count
    for case in cases:
        assert said in case.difference(case.ours(), case.baseline())
        assert case.target is not None


def test_the_targets_are_those_of_the_table() -> None:
    targets = {
        row: [case.target for case in cases_of(row)] for row in ("matching", "postprocess", "evaluation")
    }
    assert targets == {"matching": [50, 10], "postprocess": [12, 9], "evaluation": [30]}


def test_focal_loss_without_a_compiler_says_so() -> None:
    eager, compiled = focal_loss.cases(QUICK)
    assert isinstance(eager, Case)
    assert (eager.target, eager.memory_target, eager.best) == (9, 5, True)
    assert isinstance(compiled, Absent)
    assert "C++ compiler" in compiled.reason


def test_focal_difference_tells() -> None:
    loss, gradient = torch.tensor(2.0), torch.ones(4, 2)
    assert focal_loss.difference((loss * 1.5, gradient * 1.25), (loss, gradient)).startswith(
        "loss 5e-01, gradient 2e-01"
    )
    with pytest.raises(ValueError, match="no gradient"):
        focal_loss.difference((loss, gradient), (loss, gradient * 0))


def test_matching_difference_tells() -> None:
    truth = torch.tensor([0, -1, -2, 3])
    assert matching.difference(truth, truth) == "0 mismatches of 4, 2 objects"
    assert matching.difference(torch.tensor([0, -1, 3, 3]), truth) == "1 mismatches of 4, 2 objects"
    with pytest.raises(ValueError, match="no object"):
        matching.difference(truth, torch.full((4,), -1))


def test_postprocess_difference_tells() -> None:
    case = next(cases_of("postprocess"))
    ours, its = case.ours(), case.baseline()
    assert "box 0e+00" in case.difference(ours, its)
    assert "1 classes" in case.difference(ours, {**its, "labels": _changed(its["labels"], 1)})
    assert "box 2e+00 px" in case.difference(ours, {**its, "boxes": _changed(its["boxes"], 2)})
    fewer = {name: column[1:] for name, column in its.items()}
    assert case.difference(ours, fewer) == f"{len(its['scores'])} detections, not {len(its['scores']) - 1}"
    with pytest.raises(ValueError, match="no detections"):
        case.difference(ours, {name: column[:0] for name, column in its.items()})


def _changed(column: torch.Tensor, by: int) -> torch.Tensor:
    column = column.clone()
    column[0] += by
    return column


def test_postprocess_has_as_many_candidates_as_it_says() -> None:
    levels = matching.retinanet_levels(64, 96)
    outputs = postprocess.random_outputs(levels, 7, 321)
    scores = torch.cat(outputs.cls_logits, dim=1).sigmoid()
    assert int((scores > postprocess.SCORE_THRESH).sum()) == 321


def test_evaluation_difference_tells() -> None:
    numbers: dict[str, Any] = dict.fromkeys(evaluation.COCO_METRICS, 0.5)
    assert evaluation.difference(numbers, numbers) == "12 of 12 numbers equal (AP 0.500)"
    off = {**numbers, "AR1": 0.25}
    assert (
        evaluation.difference(off, numbers) == "11 of 12 numbers equal (AP 0.500), largest difference 2e-01"
    )
    assert "inf" in evaluation.difference({**numbers, "APs": None}, numbers)
    with pytest.raises(ValueError, match="no numbers"):
        evaluation.difference(numbers, dict.fromkeys(numbers))


def test_evaluation_without_pycocotools_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (only,) = evaluation.cases(QUICK)
    assert isinstance(only, Absent)
    assert "pycocotools is not installed" in only.reason
