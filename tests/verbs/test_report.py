"""``foveal report`` as a command, and at the end of a training."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from foveal.cli import app
from foveal.errors import DiskError, UsageError
from foveal.verbs import report as verb


def test_the_command_says_where_the_page_is(
    trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    app(["report", str(trained.folder), "-o", str(page), "--title", "Two <shapes>"], standalone_mode=False)
    assert f"report: {page}" in capsys.readouterr().out
    text = page.read_text()
    assert "<title>Two &lt;shapes&gt;</title>" in text
    assert "could not be made" not in text
    assert "Best possible recall" in text
    assert "Boxes of each class" in text


def test_what_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        app(["report", str(tmp_path)], standalone_mode=False)


def test_a_finished_training_outlives_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> Path:
        raise DiskError("the disk is full")

    monkeypatch.setattr(verb, "write_report", full)
    stream = StringIO()
    verb.report_after_training(tmp_path, Console(file=stream, width=200))
    assert "no report: the disk is full" in stream.getvalue()
