"""Run folders as crashes, resumes, diverged losses and older versions leave them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from foveal.diagnosis.report.gather import RUN_FILES, gather, read_run
from foveal.diagnosis.report.metrics_file import read_metrics
from foveal.diagnosis.report.weights_header import read_weights_header
from foveal.errors import UsageError


def metrics(folder: Path, text: str) -> dict[str, list[tuple[int, float]]]:
    file = folder / "metrics.csv"
    file.write_bytes(text.encode())
    return read_metrics(file)


def test_empty_cells_are_no_points(tmp_path: Path) -> None:
    curves = metrics(tmp_path, "step,epoch,loss,AP\n10,0,2.5,\n10,0,,0.25\n20,1,1.5,\n")
    assert curves == {"loss": [(10, 2.5), (20, 1.5)], "AP": [(10, 0.25)]}


def test_a_row_cut_off_in_a_number_does_not_give_half_of_it(tmp_path: Path) -> None:
    curves = metrics(tmp_path, "step,epoch,loss,rate\n10,0,2.5,0.1\n20,0,1.25,0.0123")
    assert curves == {"loss": [(10, 2.5), (20, 1.25)], "rate": [(10, 0.1)]}


def test_a_resumed_run_replaces_what_it_does_again(tmp_path: Path) -> None:
    curves = metrics(tmp_path, "step,epoch,loss\n10,0,9\n20,0,8\n30,0,7\n20,0,5\n30,0,4\n40,0,3\n")
    assert curves["loss"] == [(10, 9), (20, 5), (30, 4), (40, 3)]


def test_values_that_are_not_finite_stay_what_they_are(tmp_path: Path) -> None:
    curves = metrics(tmp_path, "step,epoch,loss\n10,0,nan\n20,0,inf\n30,0,1\n")
    assert math.isnan(curves["loss"][0][1])
    assert curves["loss"][1:] == [(20, math.inf), (30, 1)]


@pytest.mark.parametrize(
    "text",
    ["", "step,epoch,loss\n", "loss\n1\n", "step,epoch,loss\nx,0,1\nnan,0,1\ninf,0,1\n", "\0\0\n\0", '"'],
)
def test_what_holds_no_row_gives_no_curve(tmp_path: Path, text: str) -> None:
    assert metrics(tmp_path, text) == {}


def test_rows_shorter_and_longer_than_the_head(tmp_path: Path) -> None:
    curves = metrics(tmp_path, "step,epoch,loss,rate\n10,0\n20,0,1,2,3,4\n")
    assert curves == {"loss": [(20, 1.0)], "rate": [(20, 2.0)]}


def test_a_whole_run(make_run) -> None:
    [run] = gather([make_run()])
    assert run.name == "first"
    assert run.metric("AP") == 0.5
    assert run.metric("APs") is None
    assert run.curves["AP"] == [(20, 0.2), (40, 0.5)]
    assert run.weights is not None
    assert run.weights.parameters == {"backbone": 1500, "head": 1000}
    assert run.health[0].rule == "no_positives"
    assert run.sizes["metrics.csv"] == (run.folder / "metrics.csv").stat().st_size


@pytest.mark.parametrize("kept", RUN_FILES)
def test_any_one_file_makes_a_run(make_run, kept: str) -> None:
    folder = make_run()
    (folder / "last.safetensors").write_bytes((folder / "best.safetensors").read_bytes())
    for file in folder.rglob("*"):
        if file.is_file() and file.name != kept:
            file.unlink()
    [run] = gather([folder])
    assert (run.metric("AP") is not None) == (kept == "evaluation.json" or kept.endswith(".safetensors"))


def test_the_checkpoint_speaks_where_there_is_no_evaluation(make_run) -> None:
    folder = make_run()
    (folder / "evaluation.json").unlink()
    assert gather([folder])[0].metric("AP") == 0.25


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b"null", b'{"AP": NaN, "x": 1}', b"[" * 100_000]
)
def test_damaged_files_count_as_missing(make_run, content: bytes) -> None:
    folder = make_run()
    for name in ("evaluation.json", "health.jsonl", "config.yaml", "best.safetensors", "environment.json"):
        (folder / name).write_bytes(content)
    [run] = gather([folder])
    assert run.metric("AP") is None
    assert run.health == []
    assert run.weights is None
    assert run.environment == {}


def test_texts_cannot_turn_or_break_the_page(make_run) -> None:
    folder = make_run()
    name = "a\u202eb\x00c\ud800"
    (folder / "evaluation.json").write_text(json.dumps({"per_class": [{"name": name, "AP": 0.5}]}))
    [run] = gather([folder])
    found = run.evaluation["per_class"][0]["name"]
    assert found == "a\ufffdb\ufffdc\ufffd"
    found.encode()


def test_what_is_no_run_says_what_one_is(tmp_path: Path, make_run) -> None:
    run = make_run()
    with pytest.raises(UsageError, match=r"not a run folder.*config\.yaml.*the runs in it are first"):
        gather([run.parent])
    with pytest.raises(UsageError, match="no such folder"):
        gather([tmp_path / "nothing"])
    with pytest.raises(UsageError, match=r"a file; give the run's folder"):
        gather([run / "best.safetensors"])
    with pytest.raises(UsageError, match="named twice"):
        gather([run, run.parent / "." / run.name])


def test_runs_of_one_name_are_told_apart(make_run, tmp_path: Path) -> None:
    first = make_run()
    other = tmp_path / "elsewhere" / "first"
    other.parent.mkdir()
    first.rename(other)
    assert [run.name for run in gather([other, make_run()])] == ["first", "first (2)"]


def test_a_weights_header_that_lies_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    for content in (b"", b"\xff" * 8, (5).to_bytes(8, "little") + b"hello", (2**40).to_bytes(8, "little")):
        file.write_bytes(content)
        assert read_weights_header(file) is None


def test_a_configuration_that_is_a_bomb_counts_as_missing(make_run) -> None:
    """It would unfold to a thousand million values, and the number takes hours to read."""
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    run = make_run("a")
    for text in ("a0: &a0 [x, x]\n" + levels, "a: 1" + ":59" * 100_000, "#" * 1_000_000, "a: 1:59.5e9\n- b"):
        (run / "config.yaml").write_text(text)
        assert read_run(run, "a").config == {}
