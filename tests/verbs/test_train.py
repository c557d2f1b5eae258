"""foveal train: the run folder, its name, fine-tuning, and what is refused before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.build import build_records
from foveal.checkpoint.format import Checkpoint, load_checkpoint, save_checkpoint
from foveal.config.load import data_of, load_config
from foveal.errors import DataError, ModelFileError, UsageError
from foveal.metrics.coco import COCO_METRICS, CocoEvaluator
from foveal.metrics.thresholds import best_f1_thresholds
from foveal.runtime.predictor import Predictor
from foveal.verbs import train as room
from foveal.verbs.run_folder import RUN_FILES, is_run_folder
from foveal.verbs.train import show_batch, train
from foveal.verbs.training_data import load_data

SHAPES = "{format: shapes, pictures: 8, classes: 2, size: 64, seed: 2}"
OTHER = "{format: shapes, pictures: 8, classes: 3, size: 64, seed: 2}"
CLASS_LAYERS = ("head.cls_logits.weight", "head.cls_logits.bias")


@pytest.fixture
def quick(tmp_path: Path, write_config: Any) -> Callable[..., Any]:
    """Trains two steps on generated shapes; further settings as ``key.sub=value``."""

    def run(*overrides: str, data: str = SHAPES, val: str | None = None, **options: Any) -> Any:
        config = write_config(tmp_path / "c.yaml", data, val)
        options = {"output": tmp_path / "runs", "quiet": True, **options}
        return train(config, ["data.image_size=[64,64]", *overrides], **options)

    return run


def state_of(result: Any) -> Checkpoint:
    return load_checkpoint(result.fit.last_file)


# ---------------------------------------------------------------- the run folder


def test_run_folder(trained: Any) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert names == {
        "config.yaml",
        "best.safetensors",
        "last.safetensors",
        "resume",
        "metrics.csv",
        "tensorboard",
        "evaluation.json",
        "environment.json",
        "galleries",
        "report.html",
    }
    written = load_config(trained.folder / "config.yaml")
    assert written == load_config(trained.config, ["training.max_steps=40", "training.validate_every=10"])
    assert tuple(trained.metrics) == COCO_METRICS


def test_checkpoint_needs_nothing_else(trained: Any) -> None:
    header, _ = load_checkpoint(trained.best)
    assert header.classes.names == ("red circle", "blue square")
    policy = {"height": 96, "width": 128, "pad_value": 114, "antialias": True, "place": "top_left"}
    assert {key: header.size_policy[key] for key in policy} == policy
    assert header.facts["step"] in (10, 20, 30, 40)
    assert header.facts["metrics"]["AP"] == pytest.approx(trained.metrics["AP"], abs=1e-6)


def test_thresholds_are_those_of_best_f1(trained: Any) -> None:
    """And only the final file has them: the last weights were not chosen by."""
    header, _ = load_checkpoint(trained.best)
    val = data_of(load_config(trained.folder / "config.yaml")).val
    assert val is not None
    records = build_records(val)
    evaluator = CocoEvaluator(records.ground_truth())
    predictor = Predictor(trained.best, "cpu", score_thresh=0.0)
    for picture in range(len(records)):
        found = predictor(records.path(picture))
        evaluator.add(int(records.image_ids[picture]), found.boxes, found.scores, found.labels)
    expected = best_f1_thresholds(evaluator.ground_truth, evaluator.columns())
    assert header.thresholds == pytest.approx(expected, abs=2e-4)
    assert len(header.thresholds) == 2
    assert load_checkpoint(trained.folder / "last.safetensors").header.thresholds == {}


def test_without_validation_the_last_weights_are_the_best(quick: Any) -> None:
    result = quick()
    assert result.metrics == {}
    assert not (result.folder / "evaluation.json").exists()
    best, last = (load_checkpoint(result.folder / f"{name}.safetensors").state for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_same_seed_same_weights(quick: Any) -> None:
    first, same, other = (state_of(quick(seed=seed)).state for seed in (5, 5, 6))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_names_of_runs(quick: Any, tmp_path: Path) -> None:
    """The config's name, or one's own; a number where a run is there already, never over it."""
    first, second, own = quick(), quick(), quick(name="mine")
    assert [result.folder.name for result in (first, second, own)] == ["c", "c-2", "mine"]
    assert len({result.fit.best_file for result in (first, second, own)}) == 3
    assert first.fit.best_file.is_file()


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_folder_with_any_file_of_a_run_is_left_alone(quick: Any, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "runs" / "c" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="lcnet"):  # far enough to know the folder, and no further
        quick("model.architecture.backbone.name=lcnet_05O")

    assert is_run_folder(tmp_path / "runs" / "c")
    assert mine.read_text() == "mine"


def test_ema_and_precision_and_accumulation(quick: Any) -> None:
    """What is saved and measured is the average, not the weights of the last step."""
    result = quick("training.ema={decay: 0.9}", "training.precision=bf16", "training.accumulate=2")
    assert result.fit.steps == 2
    raw = torch.load(result.folder / "resume" / "last.ckpt", weights_only=True)["model"]
    saved = state_of(result).state
    assert raw.keys() == saved.keys()
    name = "head.cls_logits.bias"
    assert not torch.equal(raw[name], saved[name])


def test_early_stopping(quick: Any) -> None:
    result = quick(
        "training.max_steps=50", "training.early_stopping=2", "training.optimizer.lr_per_16=1e-9", val=SHAPES
    )
    assert result.fit.stopped == "early_stopping"
    assert result.fit.steps == 3


def test_resuming_a_finished_run_measures_it_again(quick: Any) -> None:
    first = quick(val=SHAPES)
    (first.folder / "evaluation.json").unlink()
    again = train(resume=first.folder, quiet=True)
    assert (again.folder, again.fit.steps, again.metrics) == (first.folder, 2, first.metrics)
    assert (first.folder / "evaluation.json").is_file()


# ---------------------------------------------------------------- fine-tuning


def test_matching_classes_are_carried_over(
    quick: Any, trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """blue square was class 1 of 2 and is class 0 of 3; the others begin anew. One step of rate ~0 is taken."""
    slow = ("training.max_steps=1", "training.optimizer.lr_per_16=1e-12")
    classes = "data.classes=[blue square, unicorn, green triangle]"
    result = quick(*slow, classes, data=OTHER, start_from=trained.best, quiet=False)
    report = capsys.readouterr().out
    assert (
        "classes reused: blue square; classes new: unicorn, green triangle; classes dropped: red circle"
        in report
    )
    old, new = load_checkpoint(trained.best).state, state_of(result).state
    assert f"{len(new)} of {len(new)} tensors matched" in report
    assert new["head.cls_logits.weight"].shape[0] == 3  # one anchor a cell
    for name in CLASS_LAYERS:
        torch.testing.assert_close(new[name][0], old[name][1], rtol=0, atol=1e-6)
    bias = new["head.cls_logits.bias"]
    assert bias[1:].tolist() == pytest.approx([-np.log(99)] * 2, abs=1e-4)  # prior 0.01
    learned = [n for n in new if n not in CLASS_LAYERS and "running" not in n and "num_batches" not in n]
    for name in learned:
        torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-6)


def test_fine_tuning_begins_where_the_checkpoint_ends(quick: Any, trained: Any, write_config: Any) -> None:
    """The same data: after a step of rate ~0 the AP is what it was, batch norm's statistics apart."""
    config = write_config(trained.config.with_name("again.yaml"), trained.data, trained.data)
    slow = ["training.max_steps=1", "training.optimizer.lr_per_16=1e-12"]
    frozen = "model.architecture.backbone.params.batch_norm=frozen"
    result = train(
        config, [*slow, frozen], start_from=trained.best, output=trained.config.parent / "r", quiet=True
    )
    assert result.metrics["AP50"] == pytest.approx(trained.metrics["AP50"], abs=0.15)


def test_fine_tuning_another_architecture(quick: Any, trained: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ModelFileError, match=r"best\.safetensors: of another network \(\d+ of \d+ tensors matched"
    ):
        quick(
            "model.architecture.backbone.name=test_resnet",
            "model.architecture.neck.params.out_channels=8",
            "model.architecture.neck.params.norm_type=none",
            "model.architecture.head.params.norm_type=none",
            start_from=trained.best,
        )
    assert not (tmp_path / "runs").exists()


def test_weights_of_the_config_are_not_fetched_when_fine_tuning(quick: Any, trained: Any) -> None:
    """A checkpoint brings its own backbone: the file that the config names may be gone."""
    quick("model.architecture.backbone.params.weights=gone.safetensors", start_from=trained.best)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.device=gpu"], "training.device: 'gpu' is not known"),
        (["training.precision=16-mixed"], "16-mixed needs a CUDA device"),
        (["model.architecture.backbone.name=resnet5"], "unknown backbone 'resnet5': did you mean"),
        (
            ["model.losses={classification: {name: focal, focal_alpha: [0.1, 0.2, 0.3]}}"],
            "3 numbers for 2 classes",
        ),
    ],
)
def test_settings_that_cannot_be(quick: Any, tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quick(*overrides)
    assert not (tmp_path / "runs").exists()


def test_resume_arguments(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        train(resume=tmp_path, quiet=True)
    for extra in ({"config": trained.config}, {"name": "a"}, {"seed": 1}):
        with pytest.raises(UsageError, match="takes the run's own config"):
            train(resume=trained.folder, quiet=True, **extra)
    with pytest.raises(UsageError, match="give no --from"):
        train(resume=trained.folder, start_from=trained.best, quiet=True)
    with pytest.raises(UsageError, match="which config"):
        train(quiet=True)


def test_overrides_of_a_resumed_run_are_its_own_from_then_on(quick: Any) -> None:
    folder = quick("training.max_steps=2").folder
    train(resume=folder, overrides=["training.clip_grad_norm=5", "data.workers=1"], quiet=True)
    train(resume=folder, overrides=["training.ema=null"], quiet=True)
    kept = load_config(folder / "config.yaml")
    assert kept.training.clip_grad_norm == 5
    assert data_of(kept).workers == 1
    text = (folder / "config.yaml").read_text()
    with pytest.raises(UsageError, match="cannot go on"):
        train(resume=folder, overrides=["training.max_steps=9", "training.clip_grad_norm=1"], quiet=True)
    assert (folder / "config.yaml").read_text() == text, "what was refused is not kept"


def test_a_fine_tuned_run_stays_one_when_it_is_resumed(
    quick: Any, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss begins where another's ended: a watcher that forgets this says that nothing is learned."""
    told: list[bool] = []
    whole = room.facts_of

    def seen(*arguments: Any) -> Any:
        told.append(arguments[2])
        return whole(*arguments)

    monkeypatch.setattr(room, "facts_of", seen)
    folder = quick(start_from=trained.best).folder
    assert (folder / "config.yaml").read_text().startswith(f"# fine-tuned from {trained.best}\n")
    for _ in range(2):
        train(resume=folder, overrides=["training.clip_grad_norm=5"], quiet=True)
    train(resume=quick().folder, quiet=True)
    assert told == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("error", "batch_size", "said"),
    [
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            8,
            r"batch_size \(now 8;.* or data",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            1,
            "lower data.image_size, or set",
        ),
        (MemoryError(), 1, "--memory says what a step takes"),
    ],
)
def test_too_little_memory_names_what_to_lower(
    quick: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, batch_size: int, said: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("foveal.heads.anchor_decoupled.criterion.AnchorCriterion.forward", fail)
    with pytest.raises(UsageError, match=f"^out of memory on cpu at step 1: .*{said}"):
        quick(f"training.batch_size={batch_size}")


def test_both_parts_have_the_classes_of_training(tmp_path: Path, write_config: Any) -> None:
    config = write_config(tmp_path / "c.yaml", SHAPES, OTHER)
    first, second = load_data(load_config(config))
    assert second is not None
    assert first.classes.names == second.classes.names == ("red circle", "blue square")
    assert second.fault_counts()["unknown_class"] > 0
    only = load_config(config, ["data.val=null"])
    assert load_data(only)[1] is None


def test_no_box_to_learn_from(tmp_path: Path, write_config: Any) -> None:
    config = write_config(tmp_path / "c.yaml", SHAPES.replace("}", ", empty_share: 1.0}"))
    with pytest.raises(DataError, match=r"data\.train: not one usable box"):
        load_data(load_config(config))


# ---------------------------------------------------------------- the batch


def test_show_batch(tmp_path: Path, write_config: Any) -> None:
    config = write_config(tmp_path / "c.yaml", SHAPES)
    paths = [show_batch(config, ["training.batch_size=4"], tmp_path / "runs") for _ in range(2)]
    assert [path.name for path in paths] == ["c_batch.png", "c_batch-2.png"]
    with Image.open(paths[0]) as picture:
        assert picture.width >= 2 * 128
        assert picture.height >= 96
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["c_batch-2.png", "c_batch.png"]


def test_header_of_another_foveal(trained: Any, tmp_path: Path) -> None:
    """A configuration that this version cannot build is a refused file, not a bug."""
    header, state = load_checkpoint(trained.best)
    header.config["model"]["architecture"]["head"]["name"] = "head_of_tomorrow"
    save_checkpoint(tmp_path / "a.safetensors", state, replace(header, version="9.0"))
    with pytest.raises(
        ModelFileError, match=r"a\.safetensors: Foveal 9\.0 wrote a configuration that this one"
    ):
        Predictor(tmp_path / "a.safetensors", "cpu")
