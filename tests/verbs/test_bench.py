"""``foveal bench``: rows by name, files, and errors of one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from foveal import cli
from foveal.bench.growth import Subject
from foveal.bench.measure import Result
from foveal.errors import UsageError
from foveal.verbs.bench import bench, choose, growth, names


def test_a_quick_row_is_measured_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    markdown, to_json = tmp_path / "table.md", tmp_path / "deep" / "table.json"
    results = bench(["matching"], rounds=2, quick=True, markdown=markdown, to_json=to_json)
    assert [type(result) for result in results] == [Result, Result]
    said = capsys.readouterr().out
    assert f"torch {torch.__version__}" in said
    assert said.count("matching 5,787 anchors x") >= 2
    assert "process CPU time" in said
    table = markdown.read_text()
    assert table.count("0 mismatches of 5,787") == 2
    kept = json.loads(to_json.read_text())
    assert kept["device"] == "cpu"
    assert [row["row"] for row in kept["rows"]] == ["matching", "matching"]
    assert all(len(row["ours"]["busy_seconds"]) == 2 for row in kept["rows"])


def test_all_rows_where_none_is_named() -> None:
    assert choose([]) == names()
    assert choose(["matching", "focal_loss"]) == ["matching", "focal_loss"]


@pytest.mark.parametrize(("row", "hint"), [("focal_los", "did you mean focal_loss?"), ("xyz", "there are ")])
def test_an_unknown_row_names_the_nearest(row: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"no row '{row}'; .*{hint[:12]}"):
        bench([row])


@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_a_device_that_is_not_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"--device {device}: "):
        bench(["matching"], device=device)


def test_list_prints_the_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--list") == 0
    assert capsys.readouterr().out.split() == [*names(), "growth"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["foveal", "bench", *arguments])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "ERROR")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    return 0 if code is None else int(code)


def test_growth_writes_a_picture_and_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counting = Subject("numbers", "counting", (1000, 20_000), lambda size: lambda: sum(range(size)), False)
    monkeypatch.setattr("foveal.verbs.bench.subjects", lambda folder, quick: [counting])
    assert run(monkeypatch, "growth", "-o", str(tmp_path / "grown"), "--quick") == 0
    assert (tmp_path / "grown" / "growth.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "grown" / "growth.md").read_text()
    assert "| numbers | counting | 1,000 - 20,000 |" in table
    assert "counting; numbers: 20,000" in capsys.readouterr().out
    (series,) = growth(tmp_path / "again", quiet=True)
    assert series.name == "counting"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("growth", "matching"), "it goes alone: foveal bench growth -o FOLDER"),
        (("matching", "-o", "x"), "-o goes with growth"),
        (("--rounds", "0"), "Invalid value for '--rounds'"),
    ],
)
def test_wrong_use_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err
