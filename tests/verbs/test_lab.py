"""foveal lab in miniature: runs are kept, not repeated, taken up again; a diverged one is a result."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from foveal import cli
from foveal.checkpoint.format import load_checkpoint
from foveal.config.load import load_config
from foveal.errors import Interrupted, UsageError
from foveal.lab.settings import all_settings
from foveal.verbs import lab as verb
from foveal.verbs.lab import cumulative, lab
from foveal.verbs.train import train

SHAPES = "{format: shapes, pictures: 8, classes: 2, size: 64, seed: 2}"
SMALL = ("data.image_size=[64,64]",)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_config: Any) -> Path:
    path: Path = write_config(tmp_path_factory.mktemp("lab") / "mine.yaml", SHAPES, SHAPES)
    return path


@pytest.fixture
def small(tmp_path: Path, config: Path) -> Callable[..., Any]:
    """A lab of two steps a run on a person's own configuration."""

    def run(*settings: str, **options: Any) -> Any:
        options = {"seeds": 1, "steps": 2, "overrides": SMALL, "quiet": True, **options}
        return lab(tmp_path / "out", config, settings, **options)

    return run


@pytest.fixture
def trained_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that are trained from now on, as they begin; a resumed one by its folder."""
    names: list[str] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        names.append(options.get("name") or options["resume"].name)
        return train(*arguments, **options)

    monkeypatch.setattr(verb, "train", watched)
    return names


def test_done_runs_are_kept_and_not_repeated(small: Any, trained_names: list[str], tmp_path: Path) -> None:
    first = small("ce_pi", "focal")
    assert trained_names == ["ce_pi_seed0", "focal_seed0"]
    before = (tmp_path / "out" / "results.jsonl").read_text()
    assert [json.loads(line)["setting"] for line in before.splitlines()] == ["ce_pi", "focal"]
    del trained_names[:]
    again = small("ce_pi", "focal")
    assert trained_names == []
    assert again.runs == first.runs
    more = small("ce", "focal", seeds=2)  # a setting and a seed more
    assert trained_names == ["ce_seed0", "ce_seed1", "focal_seed1"]
    after = (tmp_path / "out" / "results.jsonl").read_text()
    assert after.startswith(before)
    assert [(run.setting, run.seed) for run in more.runs[2:]] == [("ce", 0), ("ce", 1), ("focal", 1)]
    with pytest.raises(UsageError, match=r"focal with seed 0 was trained with another configuration"):
        small("focal", steps=3)
    assert (tmp_path / "out" / "results.jsonl").read_text() == after


def test_a_result_is_what_the_run_measured(small: Any, tmp_path: Path) -> None:
    result = small("alpha_75")
    run = result.runs[0]
    folder = tmp_path / "out" / run.folder
    measured = json.loads((folder / "evaluation.json").read_text())
    assert (run.AP, run.AP50, run.diverged) == (measured["AP"], measured["AP50"], False)
    header, _ = load_checkpoint(folder / "best.safetensors")
    losses = header.config["model"]["losses"]
    assert losses["classification"] == {"name": "cross_entropy", "alpha": 0.75, "weight": 1.0}
    assert header.facts["step"] == 2
    assert header.config["training"]["seed"] == 0
    assert not (folder / "resume").exists()
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"| alpha_75 | balanced cross entropy, alpha 0.75 | 31.1 | {100 * run.AP:.1f} |" in table
    with Image.open(tmp_path / "out" / "table.png") as picture:
        assert picture.format == "PNG"


def test_a_run_that_diverges_is_a_result(small: Any, tmp_path: Path) -> None:
    """Infinite learning: ten steps in a row without finite losses."""
    result = small("focal", steps=15, overrides=[*SMALL, "training.optimizer.lr_per_16=1e30"])
    run = result.runs[0]
    assert run.diverged
    assert run.AP is None
    assert "training diverged at step" in run.note
    row = result.rows["focal"]
    assert row.aps == (0.0,)
    assert "| diverged | 0.0 - 0.0 | 0.0 | 1, 1 diverged |" in (tmp_path / "out" / "table.md").read_text()


def test_stopped_in_the_middle(small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was finished is kept, the message is the lab's, and the same call does the rest."""

    def stopped(*arguments: Any, **options: Any) -> Any:
        if options["name"].startswith("focal"):
            raise Interrupted("stopped at step 1; go on with: foveal train --resume", 15)
        return train(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(verb, "train", stopped)
        with pytest.raises(Interrupted, match="stopped in focal_seed0; 1 finished runs are kept") as caught:
            small("ce_pi", "focal")
    assert caught.value.exit_code == 143
    assert [run.setting for run in small("ce_pi", "focal").runs] == ["ce_pi", "focal"]


def test_an_unfinished_run_is_taken_up(
    small: Any, config: Path, trained_names: list[str], tmp_path: Path
) -> None:
    """A run folder without a result, left by a kill: gone on with where its configuration is the same."""
    runs = tmp_path / "out" / "runs"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").touch()
    changes = [*SMALL, *all_settings()["focal"].changes, "training.max_steps=2"]
    left = train(config, changes, name="focal_seed0", output=runs, seed=0, quiet=True)
    weights = load_checkpoint(left.fit.best_file).state
    result = small("focal")
    assert result.runs[0].folder == "runs/focal_seed0"
    after = load_checkpoint(runs / "focal_seed0" / "best.safetensors").state
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert trained_names == ["focal_seed0"]
    assert [path.name for path in runs.iterdir()] == ["focal_seed0"]


def test_an_unfinished_run_of_another_configuration_is_left_alone(
    small: Any, config: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "out" / "runs"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").touch()
    left = train(config, [*SMALL, "training.max_steps=1"], name="focal_seed0", output=runs, quiet=True)
    weights = left.fit.last_file.read_bytes()
    assert small("focal").runs[0].folder == "runs/focal_seed0-2"
    assert left.fit.last_file.read_bytes() == weights


def test_its_own_pictures_and_figure_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "TRAIN_PICTURES", 8)
    monkeypatch.setattr(verb, "VAL_PICTURES", 4)
    folder = tmp_path / "lab"
    result = lab(folder, settings=["focal"], seeds=1, steps=1, quiet=True)
    assert {path.name for path in folder.iterdir()} == {
        "base.yaml", "data", "runs", "results.jsonl", "table.md", "table.png", "cumulative.md", "cumulative.png",
    }  # fmt: skip
    assert len(list((folder / "data" / "train" / "images").iterdir())) == 8
    assert "4 pictures: " in (folder / "cumulative.md").read_text()
    moved = folder.rename(tmp_path / "elsewhere")
    assert lab(moved, settings=["focal"], seeds=1, steps=1, quiet=True).runs == result.runs


def test_figure_four_of_any_checkpoint(trained: Any, tmp_path: Path, capsys: Any) -> None:
    for _ in range(2):
        cumulative(trained.best, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"cumulative.md", "cumulative.png", "cumulative-2.md", "cumulative-2.png"}
    assert "(cumulative-2.png)" in (tmp_path / "cumulative-2.md").read_text()
    assert "of the background loss at gamma 0" in capsys.readouterr().out


def test_refused_before_anything_is_made(small: Any, tmp_path: Path, write_config: Any) -> None:
    with pytest.raises(UsageError, match="did you mean focal"):
        small("fokal")
    with pytest.raises(UsageError, match=r"missing\.yaml: no such file"):
        lab(tmp_path / "out", tmp_path / "missing.yaml", quiet=True)
    alone = write_config(tmp_path / "alone" / "c.yaml", SHAPES)
    with pytest.raises(UsageError, match=r"no data\.val"):
        lab(tmp_path / "out", alone, quiet=True)
    assert not (tmp_path / "out").exists()


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["foveal", "lab", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    monkeypatch.chdir(tmp_path)
    assert run("--list") == 0
    listed = capsys.readouterr().out
    assert "gamma_05: focal, gamma 0.5, alpha 0.5" in listed
    assert run("--settings", "focal,nope") == 2
    assert "no setting 'nope'" in capsys.readouterr().err
    called: dict[str, Any] = {}
    monkeypatch.setattr(verb, "lab", lambda *given: called.update(given=given))
    assert run("a.b=1", "-o", "x", "--settings", "ce, focal", "--seeds", "2", "--steps", "9") == 0
    assert called["given"] == (Path("x"), None, ["ce", "focal"], 2, 9, ["a.b=1"])
    assert list(tmp_path.iterdir()) == []


def test_time_left_goes_by_what_each_setting_took() -> None:
    jobs = [verb._Job(all_settings()[name], 1, Path("c"), (), "") for name in ("ce", "focal", "ssd")]
    done = [
        verb.Run("ce", 0, 0.1, 0.1, False, "", 30.0, "", ""),
        verb.Run("focal", 0, 0.1, 0.1, False, "", 60.0, "", ""),
    ]
    assert verb._time_left(jobs, done) == "; about 2 min 15 s left"  # 30 + 60 + their mean
    assert verb._time_left(jobs, []) == ""


def test_an_interrupted_run_with_weights_of_its_classes_is_known_again(tmp_path: Path) -> None:
    """A run's configuration has numbers where the lab's says auto."""
    file = tmp_path / "c.yaml"
    file.write_text("data: {train: {format: shapes}}\n")
    auto = load_config(file, ["model.losses.classification.focal_alpha=auto"])
    numbers = load_config(file, ["model.losses.classification.focal_alpha=[0.2, 0.3, 0.4]"])
    other = load_config(file, ["model.losses.classification={name: cross_entropy, alpha: 0.5}"])
    assert verb._same_settings(numbers, auto)
    assert not verb._same_settings(auto, numbers)
    assert not verb._same_settings(other, auto)
    assert not verb._same_settings(load_config(file, ["training.seed=3"]), auto)


def test_overrides_that_cannot_be_are_refused_before_pictures_are_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown key 'epoch'"):
        lab(tmp_path / "lab", overrides=["training.epoch=3"], quiet=True)
    assert not (tmp_path / "lab" / "data").exists()
