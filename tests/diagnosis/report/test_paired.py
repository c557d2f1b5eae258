"""Two runs measured on the same labels: the interval of their difference, from the draws that both files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foveal.diagnosis.report.gather import Run, gather
from foveal.diagnosis.report.measured import comparable, paired
from foveal.diagnosis.report.sections.comparison import comparison
from foveal.diagnosis.report.verdict import verdict

DRAWS = [0.1, 0.5, 0.3, 0.4, 0.2]


def with_draws(folder: Path, draws: list[float | None], labels: str = "a") -> Path:
    path = folder / "evaluation.json"
    content = json.loads(path.read_text())
    content["intervals"] |= {"draws": draws, "labels": labels}
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def runs(make_run: Any) -> list[Run]:
    """The second is better by 0.1 on every draw."""
    first = with_draws(make_run("first", score=0.5), DRAWS)  # type: ignore[arg-type]
    second = with_draws(make_run("second", score=0.6), [draw + 0.1 for draw in DRAWS])
    return gather([first, second])


def test_how_hard_a_draw_is_cancels_out(runs: list[Run]) -> None:
    assert paired(*runs) == pytest.approx((0.1, 0.1))
    assert "10.0 points before first (95 % on the same pictures: 10.0 to 10.0" in verdict(runs)
    assert "the choice of pictures does not explain it" in verdict(runs)
    section = comparison(runs)
    assert section is not None
    assert "-10.0 to -10.0" in repr(section.blocks[0])


def test_a_draw_without_boxes_is_left_out(make_run: Any) -> None:
    first = with_draws(make_run("first"), [None, *DRAWS])
    second = with_draws(make_run("second"), [0.9, *[draw - 0.2 for draw in DRAWS]])
    assert paired(*gather([first, second])) == pytest.approx((-0.2, -0.2))


@pytest.mark.parametrize("draws", [DRAWS[:3], None, "x", [None] * 5])
def test_what_does_not_pair(make_run: Any, draws: Any) -> None:
    runs = gather([with_draws(make_run("first"), DRAWS), with_draws(make_run("second"), draws)])  # type: ignore[arg-type]
    assert paired(*runs) is None
    assert "overlap" in verdict(runs)


def test_other_labels_do_not_pair_and_equal_ones_compare_from_any_folder(make_run: Any) -> None:
    first, second = with_draws(make_run("first"), DRAWS), with_draws(make_run("second"), DRAWS, "b")  # type: ignore[arg-type]
    assert paired(*gather([first, second])) is None
    with_draws(second, DRAWS)  # type: ignore[arg-type]
    config = second / "config.yaml"
    config.write_text(config.read_text().replace("val: null", "val: {format: coco, annotations: moved.json}"))
    assert comparable(gather([first, second]))
