"""Bad steps are left out; ten in a row end the run."""

import pytest
import torch

from foveal.config.schema import AdamW, Ema, Sgd, Training
from foveal.engine import module as module_room
from foveal.engine.fit import fit
from foveal.engine.guard import Verdict, may_run_ahead
from foveal.errors import DivergedError
from foveal.types import LossOutput


def start(tiny, folder, bad_calls, poison, **settings):
    torch.manual_seed(5)
    model = tiny.TinyModel()
    calls = 0

    def criterion(outputs, targets):
        nonlocal calls
        calls += 1
        output = tiny.criterion(outputs, targets)
        if calls in bad_calls:
            return LossOutput({**output.losses, "square": poison(output.losses["square"], outputs)}, {})
        return output

    chosen = {"device": "cpu", "batch_size": 4, "max_steps": 20, "ema": Ema(decay=0.9), **settings}
    result = fit(
        model,
        criterion,
        tiny.postprocess,
        tiny.make_loader(),
        None,
        None,
        Training(**chosen),
        folder,
        tiny.save_weights,
        quiet=settings.get("quiet", True),
    )
    return model, result


def nan_loss(loss, outputs):
    return loss * float("nan")


def infinite_gradient(loss, outputs):
    """Finite loss whose gradient is not: the derivative of the root at 0."""
    return loss + (outputs * 0).sqrt().sum()


def nan_loss_without_gradient(loss, outputs):
    return loss + float("nan")


@pytest.mark.parametrize("poison", [nan_loss, infinite_gradient, nan_loss_without_gradient])
def test_bad_steps_are_skipped_and_counted(tiny, tmp_path, poison):
    model, result = start(tiny, tmp_path, {7, 8}, poison)
    assert (result.steps, result.skipped) == (20, 2)
    saved = tiny.load_weights(result.last_file)["state"]
    for state in (model.state_dict(), saved):
        assert all(value.isfinite().all() for value in state.values())


def test_a_bad_step_moves_nothing(tiny, tmp_path):
    model, _ = start(tiny, tmp_path / "a", {1}, nan_loss, max_steps=1)
    torch.manual_seed(5)
    untouched = tiny.TinyModel()
    for name, value in untouched.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(value, model.state_dict()[name]), name
    average = torch.load(tmp_path / "a/resume/last.ckpt", weights_only=True)["average"]
    assert average["updates"] == 0


def test_poisoned_statistics_are_put_back(tiny, tmp_path):
    """Activations that are not finite reach BatchNorm before the loss is known."""

    class Poisoned(tiny.TinyModel):
        calls = 0

        def forward(self, images):
            self.calls += 1
            return super().forward(images.float() * float("inf") if self.calls == 3 else images)

    model = Poisoned()
    result = fit(
        model,
        tiny.criterion,
        tiny.postprocess,
        tiny.make_loader(),
        None,
        None,
        Training(device="cpu", batch_size=4, max_steps=5),
        tmp_path,
        tiny.save_weights,
        quiet=True,
    )
    assert result.skipped == 1
    assert model.backbone[1].running_mean.isfinite().all()
    assert model.backbone[1].running_var.isfinite().all()


def test_ten_in_a_row_end_the_run_and_keep_the_batch(tiny, tmp_path):
    with pytest.raises(DivergedError) as raised:
        start(tiny, tmp_path, set(range(7, 40)), nan_loss)
    message = str(raised.value)
    assert raised.value.exit_code == 6
    assert "\n" not in message
    assert "loss square" in message
    kept = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert kept["batch"]["images"].dtype == torch.uint8
    assert ", ".join(str(picture) for picture in kept["batch"]["image_ids"]) in message
    assert len(kept["batch"]["targets"]) == len(kept["batch"]["images"])
    assert set(kept["batch"]["targets"][0]) == {"boxes", "labels", "crowd"}
    assert kept["step"] == 15
    assert kept["losses"]["square"].isnan()


def test_a_bad_gradient_is_named(tiny, tmp_path):
    with pytest.raises(DivergedError, match="gradient of "):
        start(tiny, tmp_path, set(range(1, 40)), infinite_gradient)


def test_nine_in_a_row_do_not_end_the_run(tiny, tmp_path):
    _, result = start(tiny, tmp_path, set(range(1, 10)) | set(range(11, 20)), nan_loss)
    assert result.skipped == 18


@pytest.mark.parametrize("poison", [nan_loss, infinite_gradient])
def test_of_a_steps_batches_the_one_at_fault_is_kept(tiny, tmp_path, monkeypatch, poison):
    """Gradients are added up over a step: each batch is asked by itself. The weights saved are those before."""

    class Watched(tiny.TinyModel):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, images):
            self.seen += [] if any(images is one for one in self.seen) else [images]
            self.number = next(i for i, one in enumerate(self.seen) if one is images)
            return super().forward(images)

    model = Watched()

    def criterion(outputs, targets):
        output = tiny.criterion(outputs, targets)
        if model.number != 4:  # the second of the second step's three
            return output
        return LossOutput({**output.losses, "square": poison(output.losses["square"], outputs)}, {})

    monkeypatch.setattr(module_room, "SKIPS_IN_ROW", 1)
    settings = Training(device="cpu", batch_size=4, accumulate=3, max_steps=3)
    with pytest.raises(DivergedError, match=r"step 1: .* on pictures <"):
        fit(
            model, criterion, tiny.postprocess, tiny.make_loader(), None, None, settings, tmp_path,
            tiny.save_weights, quiet=True, picture_name=lambda picture: f"<{picture}>",
        )  # fmt: skip
    kept = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert torch.equal(kept["batch"]["images"], model.seen[4])
    assert all(value.isfinite().all() for value in kept["model"].values())


@pytest.fixture
def ahead(monkeypatch):
    """The way of CUDA on the CPU: the optimiser goes by the verdict, the host learns of it a step later."""
    waits = []

    class Late(Verdict):
        def known(self):
            waits.append(self)
            return super().known()

    monkeypatch.setattr(module_room, "Verdict", Late)
    monkeypatch.setattr(module_room, "may_run_ahead", lambda optimizer: optimizer.param_groups[0]["fused"])
    return waits


@pytest.mark.parametrize("optimizer", [AdamW(), Sgd(name="sgd")])
@pytest.mark.parametrize("poison", [nan_loss, infinite_gradient, nan_loss_without_gradient])
@pytest.mark.parametrize("bad", [{1, 2}, {7, 8, 12}, {20}])
def test_running_ahead_gives_the_same_run(tiny, tmp_path, request, bad, poison, optimizer):
    plain, waited = start(tiny, tmp_path / "waits", bad, poison, optimizer=optimizer)
    request.getfixturevalue("ahead")
    early, went_on = start(tiny, tmp_path / "ahead", bad, poison, optimizer=optimizer)
    assert went_on.skipped == waited.skipped == len(bad)
    states = [
        torch.load(tmp_path / name / "resume/last.ckpt", weights_only=True) for name in ("waits", "ahead")
    ]
    for key in ("model", "optimizer", "average"):
        found, wanted = (state[key].get("state", state[key]) for state in (states[1], states[0]))
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert states[0]["progress"]["skipped_in_row"] == states[1]["progress"]["skipped_in_row"]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), early.parameters(), strict=True))


def test_ahead_no_verdict_is_asked_for_in_its_own_step(tiny, tmp_path, ahead, monkeypatch):
    """Between a step's backward pass and the next one's, nothing waits."""
    order = []
    made, known = Verdict.__init__, Verdict.known
    monkeypatch.setattr(Verdict, "__init__", lambda self, *step: order.append("made") or made(self, *step))
    monkeypatch.setattr(Verdict, "known", lambda self: order.append("asked") or known(self))
    start(tiny, tmp_path, set(), nan_loss, max_steps=4)
    # The first step waits: it makes the optimiser's state.
    assert order[:2] == ["made", "asked"]
    assert order[-1] == "asked"
    steps = [i for i, event in enumerate(order) if event == "made"]
    assert all(order[i + 1 : i + 3] == ["asked", "made"] for i in steps[1:-1])


def test_ahead_ten_in_a_row_end_the_run_too(tiny, tmp_path, ahead):
    with pytest.raises(DivergedError, match="loss square"):
        start(tiny, tmp_path, set(range(7, 40)), nan_loss)
    assert torch.load(tmp_path / "bad_batch.pt", weights_only=True)["step"] == 15


def test_off_cuda_the_host_waits():
    parameter = torch.nn.Parameter(torch.zeros(1))
    assert not may_run_ahead(torch.optim.AdamW([parameter], fused=True))
