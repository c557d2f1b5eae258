"""The results file: every run once, nothing lost, nothing mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveal.errors import UsageError
from foveal.lab.results import RESULTS, Results, Run, fingerprint

RUN = Run("focal", 1, 0.25, 0.5, False, "", 40.0, "abc", "runs/focal_seed1")


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "lab")
    lost = RUN._replace(setting="ce", AP=None, AP50=None, diverged=True, note="training diverged at step 3")
    results.add(RUN)
    results.add(lost)
    again = Results(tmp_path / "lab")
    assert again.runs == [RUN, lost]
    assert again.find("focal", 1, "abc") == RUN
    assert again.find("focal", 0, "abc") is None
    assert again.find("ssd", 1, "abc") is None


def test_two_labs_in_one_folder(tmp_path: Path) -> None:
    """Each with settings of its own, side by side: both keep what the other has found, and no run twice."""
    one, two = Results(tmp_path), Results(tmp_path)
    other = RUN._replace(setting="ssd")
    one.add(RUN)
    two.add(other)
    two.add(RUN._replace(AP=0.9))
    assert one.runs == [RUN]
    one.add(other._replace(seed=2))
    assert one.runs == Results(tmp_path).runs == [RUN, other, other._replace(seed=2)]


def test_another_experiment_is_not_mixed_in(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add(RUN)
    with pytest.raises(UsageError, match="focal with seed 1 was trained with another configuration"):
        results.find("focal", 1, "abd")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty, and no folder of foveal lab .*-o"):
        Results(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]
    with pytest.raises(UsageError, match="not empty"):
        Results(tmp_path / "table.md")


@pytest.mark.parametrize("line", ['{"setting": "focal"', '{"setting": "focal"}', "[1]", "7"])
def test_a_line_that_is_no_result(tmp_path: Path, line: str) -> None:
    (tmp_path / RESULTS).write_text(json.dumps(RUN._asdict()) + "\n" + line + "\n")
    with pytest.raises(UsageError, match=r"results\.jsonl:2: not a result of foveal lab"):
        Results(tmp_path)


def test_fingerprints() -> None:
    one = fingerprint("a: 1", ["b=2", "c=3"])
    assert one == fingerprint("a: 1", ["b=2", "c=3"])
    others = [("a: 2", ["b=2", "c=3"]), ("a: 1", ["c=3", "b=2"]), ("a: 1", ["b=2"])]
    assert one not in {fingerprint(*other) for other in others}
