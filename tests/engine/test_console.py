"""The bar in a terminal, plain lines elsewhere."""

import io

import pytest
from rich.console import Console

from foveal.engine import console as module
from foveal.engine.console import RunConsole, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (-3, "0 s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def shown(monkeypatch, terminal):
    stream = io.StringIO()

    def console(**options):
        kept = {name: value for name, value in options.items() if name != "file"}
        return Console(file=stream, force_terminal=terminal, width=100, color_system=None, **kept)

    monkeypatch.setattr(module, "Console", console)
    run = RunConsole(total_steps=100, total_epochs=4)
    run.start(0)
    run.show(1, 30, {"loss": 1.25, "square": 0.5, "positives": 12.0}, 1e-3, 95.0)
    run.line("a line")
    run.stop()
    return stream.getvalue()


def test_lines_name_losses_rate_and_time_left(monkeypatch):
    text = shown(monkeypatch, terminal=False)
    first = text.splitlines()[0]
    assert first == (
        "epoch 2/4  step 30/100  loss 1.25  square 0.5  positives 12  rate 1.00e-03  1 min 35 s left"
    )
    assert not [character for character in text if ord(character) < 32 and character != "\n"]


def test_bar_has_the_same_numbers(monkeypatch):
    text = shown(monkeypatch, terminal=True)
    for part in ("epoch 2/4  step 30/100", "1 min 35 s left", "positives 12", "a line"):
        assert part in text


def test_lines_come_every_ten_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    run = RunConsole(10, 1)
    run.start(0)
    asked = []
    for now[0] in (100.5, 109.9, 110.1):
        asked.append(run.wants_numbers())
    assert asked == [False, False, True]
    run.show(0, 1, {}, 1.0, 1.0)
    assert not run.wants_numbers()
    assert not RunConsole(10, 1, quiet=True).wants_numbers()
