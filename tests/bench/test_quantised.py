"""What int8 costs in AP."""

from __future__ import annotations

from typing import Any

import pytest

from foveal.bench import quantised
from foveal.bench.case import Absent, Case, Setup
from foveal.checkpoint.format import load_checkpoint
from foveal.runtime.backends import accelerate
from foveal.runtime.model_file import load_inference


def cases(trained: Any, monkeypatch: pytest.MonkeyPatch) -> list[Case | Absent]:
    """With bfloat16 in the place of bytes: tests/runtime quantises."""
    pytest.importorskip("nncf")

    def lesser(model: Any, backend: str = "torch", precision: str = "fp32", **options: Any) -> Any:
        return accelerate(model, "torch", "bf16" if precision == "int8" else precision)

    monkeypatch.setattr(quantised, "accelerate", lesser)
    setup = Setup(quick=True, checkpoint=trained.best, data=trained.data / "annotations.json")
    return list(quantised.cases(setup))


def test_both_aps_and_the_interval(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = cases(trained, monkeypatch)
    assert isinstance(case, Case)
    assert case.name == "AP of OpenVINO int8, best.safetensors on 4 pictures"
    ours, baseline = case.ours(), case.baseline()
    said = case.difference(ours, baseline)
    assert said.startswith("AP 0.")
    assert "95 % of 5 draws in" in said
    same = case.difference(baseline, baseline)
    assert ": +0.0000, 95 % of 5 draws in +0.0000 to +0.0000" in same
    none = baseline._replace(found=baseline.found._replace(scores=baseline.found.scores[:0]))
    with pytest.raises(ValueError, match="no comparison"):
        case.difference(ours, none)


def test_the_ap_is_that_of_evaluate(trained: Any) -> None:
    from foveal.verbs.evaluate import evaluate

    loaded = load_checkpoint(trained.best)
    records = quantised.validation_set(loaded.header, trained.best)
    model = accelerate(load_inference(loaded, trained.best))
    outcome = quantised.evaluate(model, records, (96, 128), len(records))
    evaluator = quantised.CocoEvaluator(outcome.truth)
    evaluator.merge([outcome.found])
    expected = evaluate(trained.best, trained.data / "annotations.json", device="cpu", quiet=True)
    assert evaluator.compute()["AP"] == pytest.approx(expected.metrics["AP"], abs=1e-3)


def test_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    (absent,) = quantised.cases(Setup())
    assert isinstance(absent, Absent)
    assert "--checkpoint" in absent.reason
    monkeypatch.setattr(quantised, "missing_packages", lambda *_: ["nncf"])
    (absent,) = quantised.cases(Setup())
    assert absent.reason == "no nncf: pip install 'foveal[export]'"
