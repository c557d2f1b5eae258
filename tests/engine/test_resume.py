"""A run that was stopped anywhere and resumed ends in the same bits as one that was not."""

import csv
import os
import signal

import pytest
import torch

from foveal.config.schema import AdamW, Ema, Training
from foveal.engine.fit import fit
from foveal.engine.keeper import Keeper
from foveal.engine.logs import MetricsCsv
from foveal.errors import DiskError, Interrupted, UsageError

STEPS = 17


def start(tiny, folder, resume=False, stop=None, loader=None, criterion=None, **settings):
    """One run of 17 steps, 7 an epoch. stop: a criterion or evaluator wrapper that sends a signal."""
    torch.manual_seed(5)
    model = tiny.TinyModel()
    chosen = {
        "device": "cpu",
        "batch_size": 4,
        "max_steps": STEPS,
        "ema": Ema(decay=0.9),
        "optimizer": AdamW(lr_per_16=0.02),
        **settings,
    }
    result = fit(
        model,
        stop or criterion or tiny.criterion,
        tiny.postprocess,
        loader if loader is not None else tiny.make_loader(),
        tiny.make_loader(10, shuffle=False),
        tiny.MeanEvaluator(),
        Training(**chosen),
        folder,
        tiny.save_weights,
        resume=folder if resume else None,
        quiet=True,
    )
    return model, result


def signal_at(tiny, call, number=signal.SIGTERM):
    """Criterion that asks the process to stop at its nth call (training and validation batches alike)."""
    calls = 0

    def criterion(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return tiny.criterion(outputs, targets)

    return criterion


def files(tiny, folder):
    saved = [tiny.load_weights(folder / f"{name}.safetensors") for name in ("last", "best")]
    state = torch.load(folder / "resume/last.ckpt", weights_only=True)
    saved += [state["random"], state["progress"]]
    saved[-1].pop("seconds")
    saved += [state["model"], state["optimizer"], state["average"]]
    return saved


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(x, y) for x, y in zip(first, second, strict=True))
    return first == second


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory):
    """The undisturbed run, by kind of loader."""
    folders = {}
    for kind in ("make_loader", "sampled_loader"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        start(tiny, folders[kind], loader=getattr(tiny, kind)())
    return folders


# calls 1-7 train, 8-10 validate, 11-17 train, 18-20 validate, 21-23 train, 24-26 validate
@pytest.mark.parametrize("kind", ["make_loader", "sampled_loader"])
@pytest.mark.parametrize("call", [1, 3, 7, 9, 10, 11, 14, 19, 23, 25])
def test_stopped_and_resumed_is_bit_exact(tiny, straight, tmp_path, kind, call):
    with pytest.raises(Interrupted) as raised:
        start(tiny, tmp_path, stop=signal_at(tiny, call), loader=getattr(tiny, kind)())
    assert raised.value.exit_code == 143
    assert f"foveal train --resume {tmp_path}" in str(raised.value)
    _, result = start(tiny, tmp_path, resume=True, loader=getattr(tiny, kind)())
    assert result.steps == STEPS
    assert same(files(tiny, straight[kind]), files(tiny, tmp_path))


def test_accumulation_stops_between_steps_only(tiny, tmp_path):
    start(tiny, tmp_path / "a", accumulate=3, max_steps=8)
    with pytest.raises(Interrupted, match="step 2 of 8"):
        start(tiny, tmp_path / "b", accumulate=3, max_steps=8, stop=signal_at(tiny, 5))
    start(tiny, tmp_path / "b", accumulate=3, max_steps=8, resume=True)
    assert same(files(tiny, tmp_path / "a"), files(tiny, tmp_path / "b"))


def test_loader_processes_do_not_matter(tiny, straight, tmp_path):
    with pytest.raises(Interrupted) as raised:
        start(tiny, tmp_path, stop=signal_at(tiny, 5, signal.SIGINT), loader=tiny.make_loader(workers=2))
    assert raised.value.exit_code == 130
    start(tiny, tmp_path, resume=True, loader=tiny.make_loader(workers=2))
    assert same(files(tiny, straight["make_loader"]), files(tiny, tmp_path))


def test_killed_without_a_word(tiny, straight, tmp_path):
    """No signal to save on: the run goes on from its last validation."""

    class Killed(BaseException):
        pass

    def criterion(outputs, targets, calls=[0]):  # noqa: B006
        calls[0] += 1
        if calls[0] == 22:
            raise Killed
        return tiny.criterion(outputs, targets)

    with pytest.raises(Killed):
        start(tiny, tmp_path, criterion=criterion)
    start(tiny, tmp_path, resume=True)
    assert same(files(tiny, straight["make_loader"]), files(tiny, tmp_path))
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream)]
    assert steps == sorted(steps)
    assert steps.count(STEPS) == 2  # its losses, its validation


def test_a_full_disk_does_not_hide_what_ended_the_run(tiny, tmp_path, monkeypatch):
    """The rows that are left are written last, and cannot be, either."""

    def full(self, step, epoch, values):
        raise DiskError("no room for rows")

    monkeypatch.setattr(MetricsCsv, "write", full)
    with pytest.raises(Interrupted):
        start(tiny, tmp_path, stop=signal_at(tiny, 5))
    with pytest.raises(DiskError, match="no room for rows"):
        start(tiny, tmp_path / "again")


def test_settings_given_on_resuming_act(tiny, tmp_path):
    """The saved optimiser holds the rate and decay it had; those of now count."""
    with pytest.raises(Interrupted):
        start(tiny, tmp_path, stop=signal_at(tiny, 5))
    start(tiny, tmp_path, resume=True, optimizer=AdamW(lr_per_16=0.16, weight_decay=0.3))
    groups = torch.load(tmp_path / "resume/last.ckpt", weights_only=True)["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.16 * 4 / 16}
    assert {group["weight_decay"] for group in groups} == {0.3, 0.0}


def test_damaged_last_state_goes_on_from_the_previous(tiny, straight, tmp_path):
    with pytest.raises(Interrupted):
        start(tiny, tmp_path, stop=signal_at(tiny, 13))
    last = tmp_path / "resume/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    start(tiny, tmp_path, resume=True)
    assert same(files(tiny, straight["make_loader"]), files(tiny, tmp_path))


def test_a_sampler_that_can_begin_inside_an_epoch_loads_nothing_twice(tiny, tmp_path):
    with pytest.raises(Interrupted):
        start(tiny, tmp_path, max_steps=7, stop=signal_at(tiny, 5), loader=tiny.sampled_loader())
    loader = tiny.sampled_loader()
    start(tiny, tmp_path, max_steps=7, resume=True, loader=loader)
    assert loader.dataset.loaded == 26 - 5 * 4


def test_long_epochs_are_saved_inside(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("foveal.engine.keeper.SAVE_EVERY_SECONDS", 0.0)
    saved = []
    original = Keeper.save_resume

    def save(self, module):
        saved.append(module.run_progress.step)
        original(self, module)

    monkeypatch.setattr(Keeper, "save_resume", save)
    start(tiny, tmp_path, max_steps=3)
    assert saved == [1, 2, 3]


@pytest.mark.parametrize("call", [4, 7, 17])
def test_without_validation(tiny, tmp_path, call):
    """A signal at the very last step comes too late to matter."""

    def run(folder, criterion, resume):
        torch.manual_seed(5)
        settings = Training(device="cpu", batch_size=4, max_steps=STEPS, ema=Ema())
        fit(
            tiny.TinyModel(),
            criterion,
            tiny.postprocess,
            tiny.make_loader(),
            None,
            None,
            settings,
            folder,
            tiny.save_weights,
            resume=folder if resume else None,
            quiet=True,
        )
        return files(tiny, folder)

    expected = run(tmp_path / "a", tiny.criterion, False)
    if call < STEPS:
        with pytest.raises(Interrupted, match=f"step {call} of"):
            run(tmp_path / "b", signal_at(tiny, call), False)
        assert same(expected, run(tmp_path / "b", tiny.criterion, True))
    else:
        assert same(expected, run(tmp_path / "b", signal_at(tiny, call), False))


def test_a_finished_run_stays_as_it_is(tiny, tmp_path):
    _, first = start(tiny, tmp_path, max_steps=3)
    before = files(tiny, tmp_path)
    _, again = start(tiny, tmp_path, max_steps=3, resume=True)
    assert (again.steps, again.best, again.stopped) == (3, first.best, "length")
    assert same(before, files(tiny, tmp_path))


def test_other_data_or_length_is_refused(tiny, tmp_path):
    start(tiny, tmp_path, max_steps=3)
    with pytest.raises(UsageError, match="7 batches an epoch"):
        start(tiny, tmp_path, max_steps=3, resume=True, loader=tiny.make_loader(40))
    with pytest.raises(UsageError, match="3 steps"):
        start(tiny, tmp_path, max_steps=30, resume=True)
    with pytest.raises(UsageError, match="nothing to resume"):
        start(tiny, tmp_path / "elsewhere", resume=True)


def test_a_criterion_with_a_state_of_its_own(tiny, tmp_path):
    """detectron2's normaliser: a running mean that only training moves."""

    class Running(torch.nn.Module):
        def __init__(self, stop_at=None):
            super().__init__()
            self.register_buffer("mean", torch.tensor(3.0))
            self.inner = tiny.criterion if stop_at is None else signal_at(tiny, stop_at)

        def forward(self, outputs, targets):
            losses, stats, *_ = self.inner(outputs, targets)
            if self.training:
                self.mean.lerp_(losses["square"].detach(), 0.3)
            return type(tiny.criterion(outputs, targets))(
                {name: loss / self.mean for name, loss in losses.items()}, stats
            )

    start(tiny, tmp_path / "a", criterion=Running())
    for call in (5, 9):  # in training, and in validation
        folder = tmp_path / f"b{call}"
        with pytest.raises(Interrupted):
            start(tiny, folder, criterion=Running(call))
        start(tiny, folder, criterion=Running(), resume=True)
        assert same(files(tiny, tmp_path / "a"), files(tiny, folder))
