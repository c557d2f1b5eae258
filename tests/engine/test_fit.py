"""Whole runs of a tiny model: files, numbers, endings, refusals."""

import csv
import os
import signal

import pytest
import torch

from foveal.config.schema import AdamW, Ema, Training
from foveal.engine import console
from foveal.engine.fit import fit
from foveal.errors import DataError, UsageError
from foveal.types import LossOutput


@pytest.fixture
def run(tiny, tmp_path):
    """Run with the tiny parts, any of which can be replaced."""

    def start(folder="run", resume=False, quiet=True, **changes):
        torch.manual_seed(5)
        parts = {
            "model": tiny.TinyModel(),
            "criterion": tiny.criterion,
            "train_loader": tiny.make_loader(),
            "val_loader": tiny.make_loader(10, shuffle=False),
            "evaluator": tiny.MeanEvaluator(),
        }
        settings = {"device": "cpu", "batch_size": 4, "epochs": 2, "optimizer": AdamW(lr_per_16=0.05)}
        settings.update({name: value for name, value in changes.items() if name not in parts})
        parts.update({name: value for name, value in changes.items() if name in parts})
        path = tmp_path / folder
        result = fit(
            **parts,
            postprocess=tiny.postprocess,
            settings=Training(**settings),
            run_folder=path,
            save_weights=tiny.save_weights,
            resume=path if resume else None,
            quiet=quiet,
        )
        return parts["model"], result

    return start


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_leaves_what_it_promises(run, tmp_path, tiny):
    evaluator = tiny.MeanEvaluator()
    _, result = run(epochs=3, evaluator=evaluator)
    folder = tmp_path / "run"
    assert (result.steps, result.stopped, evaluator.calls) == (21, "length", 3)
    assert sorted(evaluator.pictures) == list(range(10))
    assert {path.name for path in folder.iterdir()} == {
        "best.safetensors",
        "last.safetensors",
        "resume",
        "metrics.csv",
        "tensorboard",
    }
    assert list((folder / "tensorboard").glob("events.*"))
    table = rows(folder)
    validations = [row for row in table if row["AP"]]
    assert [int(row["step"]) for row in validations] == [7, 14, 21]
    assert float(validations[-1]["val_loss"]) < float(validations[0]["val_loss"])
    losses = [row for row in table if row["loss"]]
    for row in losses:
        assert float(row["loss"]) == pytest.approx(float(row["square"]) + float(row["absolute"]), rel=1e-4)
        assert (float(row["positives"]), float(row["positives_per_level.1"])) == (2, 0.5)
    assert result.best["AP"] == pytest.approx(max(float(row["AP"]) for row in validations), rel=1e-4)


def test_the_same_seed_gives_the_same_weights(run, tiny):
    (first, _), (second, _), (other, _) = run("a"), run("b"), run("c", seed=1)
    assert all(torch.equal(x, y) for x, y in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_max_steps_inside_an_epoch_still_validates(run, tmp_path, tiny):
    evaluator = tiny.MeanEvaluator()
    _, result = run(epochs=None, max_steps=10, evaluator=evaluator)
    assert (result.steps, evaluator.calls) == (10, 2)
    assert [row["step"] for row in rows(tmp_path / "run") if row["AP"]] == ["7", "10"]
    assert tiny.load_weights(result.last_file)["facts"]["step"] == 10


def test_validation_every_second_epoch_and_at_the_end(run, tmp_path):
    run(epochs=3, validate_every=2)
    assert [row["step"] for row in rows(tmp_path / "run") if row["AP"]] == ["14", "21"]


def test_best_is_kept_and_patience_ends_the_run(run, tiny):
    evaluator = tiny.MeanEvaluator([0.3, 0.5, 0.5, 0.4, 0.9])
    _, result = run(epochs=9, evaluator=evaluator, early_stopping=2)
    assert (result.stopped, result.steps, result.best["AP"], result.best["step"]) == (
        "early_stopping",
        28,
        0.5,
        14,
    )
    assert tiny.load_weights(result.best_file)["facts"]["step"] == 14
    assert tiny.load_weights(result.last_file)["facts"]["step"] == 28


def test_without_validation_best_is_last(run, tiny):
    _, result = run(val_loader=None, evaluator=None)
    best, last = tiny.load_weights(result.best_file), tiny.load_weights(result.last_file)
    assert best["facts"]["step"] == last["facts"]["step"] == 14
    assert torch.equal(best["state"]["head.weight"], last["state"]["head.weight"])
    assert result.best == {}


def test_without_evaluator_the_loss_decides(run, tmp_path):
    _, result = run(evaluator=None, epochs=4)
    losses = {int(row["step"]): float(row["val_loss"]) for row in rows(tmp_path / "run") if row["val_loss"]}
    assert result.best["step"] == min(losses, key=losses.__getitem__)


def test_no_score_at_all_still_leaves_a_best_file(run, tiny):
    _, result = run(evaluator=tiny.MeanEvaluator([None]))
    assert tiny.load_weights(result.best_file)["facts"]["step"] == 14


def test_averaged_weights_are_validated_and_saved(run, tiny):
    seen = []

    class Spy(tiny.TinyModel):
        def forward(self, images):
            if not self.training:
                seen.append(self.head.weight.detach().clone())
            return super().forward(images)

    model, result = run(model=Spy(), ema=Ema(decay=0.9))
    saved = tiny.load_weights(result.last_file)["state"]
    assert torch.equal(saved["head.weight"], seen[-1])
    assert not torch.equal(saved["head.weight"], model.head.weight)
    assert saved.keys() == model.state_dict().keys()


def test_accumulated_steps_equal_large_batches(run, tiny):
    """Two halves of a batch give the gradient of the whole: losses here are means over pictures."""

    def model():
        torch.manual_seed(5)
        plain = tiny.TinyModel()
        plain.drop.p = 0.0
        plain.backbone[1] = torch.nn.Identity()
        return plain

    def loader(size):
        return tiny.make_loader(24, size, shuffle=False)

    whole, one = run("a", model=model(), train_loader=loader(8), batch_size=8)
    halves, two = run("b", model=model(), train_loader=loader(4), batch_size=4, accumulate=2)
    assert one.steps == two.steps == 6
    for x, y in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


def test_clipping_bounds_the_step(run, tiny):
    """With SGD at rate 1 and no momentum, one step is as long as the clipped gradient."""
    model = tiny.TinyModel()
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    run(
        model=model,
        max_steps=1,
        clip_grad_norm=0.01,
        optimizer={"name": "sgd", "lr_per_16": 4.0, "momentum": 0.0, "weight_decay": 0.0},
        schedule={"name": "constant"},
    )
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_runs_the_model_in_bf16_and_the_criterion_outside(run, tiny):
    seen = []

    def criterion(outputs, targets):
        seen.append((outputs.dtype, torch.is_autocast_enabled("cpu")))
        return tiny.criterion(outputs, targets)

    run(precision="bf16", criterion=criterion, max_steps=2)
    assert set(seen) == {(torch.bfloat16, False)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "16-mixed"}, "needs a CUDA device"),
        ({"device": "tpu"}, "not known"),
        ({"device": "cpu:1"}, "not known"),
        ({"device": "cuda:99"}, "asked for, but"),
    ],
)
def test_impossible_hardware_is_refused(run, settings, message):
    with pytest.raises(UsageError, match=message):
        run(**settings)


def test_a_loader_process_that_is_killed_is_no_bug(run, tiny):
    """As the system does where memory is full."""

    class Killed(tiny.Pictures):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)

    loader = torch.utils.data.DataLoader(Killed(8), 4, collate_fn=tiny.collate, num_workers=1)
    with pytest.raises(
        UsageError, match=r"at step 1: DataLoader worker .*; where memory ran out, lower .*--resume"
    ):
        run(train_loader=loader)


def test_a_run_that_is_deaf_to_ctrl_c_stays_so(run, tiny):
    """As a script's job in the background is."""

    def interrupting(outputs, targets):
        os.kill(os.getpid(), signal.SIGINT)
        return tiny.criterion(outputs, targets)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(max_steps=2, criterion=interrupting)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_pictures(run, tiny):
    with pytest.raises(DataError, match="no training pictures"):
        run(train_loader=tiny.make_loader(0, shuffle=False))


def test_handlers_are_given_back_and_plain_output_has_no_control_characters(run, capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(quiet=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    captured = capsys.readouterr()
    assert captured.err == ""
    assert not {character for character in captured.out if ord(character) < 32} - {"\n"}
    lines = captured.out.splitlines()
    assert lines[0].endswith("; 4 pictures a step")
    assert lines[0].startswith("length: 14 steps")
    assert "AP 0." in lines[3]
    assert "val loss" in lines[3]
    assert "best so far" in lines[3]


def test_lines_have_the_losses_and_one_stat(run, capsys, monkeypatch):
    monkeypatch.setattr(console, "LINE_EVERY", 0.0)
    run(quiet=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if " left" in line]
    assert lines
    for line in lines:
        assert all(f"  {name} " in line for name in ("loss", "square", "absolute", "positives", "rate"))
        assert "level" not in line


def test_quiet_prints_nothing(run, capsys):
    run()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_gradients_of_every_loss_count(run, tiny):
    """Only ``losses`` are minimised: a stat with a gradient changes nothing."""

    def with_stat(outputs, targets):
        output = tiny.criterion(outputs, targets)
        return LossOutput(output.losses, {**output.stats, "mean": outputs.mean() * 100})

    (one, _), (two, _) = run("a"), run("b", criterion=with_stat)
    assert torch.equal(one.head.weight, two.head.weight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "16-mixed"])
def test_cuda_precisions_learn(run, precision, tmp_path):
    _, result = run(device="cuda", precision=precision, epochs=6, ema=Ema(decay=0.9))
    table = [float(row["val_loss"]) for row in rows(tmp_path / "run") if row["val_loss"]]
    assert table[-1] < table[0]
    assert result.steps == 42


def test_world_of_one_needs_no_environment(run, monkeypatch):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "1")
    assert run(max_steps=1)[1].steps == 1
