"""The run folder of a command that torchrun starts again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveal.verbs.launch import Place, choose_place, mark, this_launch


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch):
    def start(job: str = "none", restarts: int = 0, elsewhere: bool = False) -> None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        monkeypatch.setattr("os.getppid", lambda: 1 if elsewhere else 2)

    return start


def begin(wanted: Path, state: bool = True) -> Path:
    """A run as far as its first save."""
    folder = choose_place(wanted, None).folder
    folder.mkdir()
    mark(folder)
    (folder / "config.yaml").write_text("a: run\n")
    if state:
        (folder / "resume").mkdir()
        (folder / "resume" / "last.ckpt").write_bytes(b"state")
    return folder


def test_without_torchrun_nothing_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert this_launch() is None
    first = begin(tmp_path / "run")
    assert [path.name for path in sorted(first.iterdir())] == ["config.yaml", "resume"]
    assert choose_place(tmp_path / "run", None) == Place(tmp_path / "run-2", None, False)
    assert choose_place(tmp_path / "other", first) == Place(first, first, False)


def test_started_again_it_goes_on(tmp_path: Path, torchrun) -> None:
    torchrun()
    first = begin(tmp_path / "run", state=False)
    torchrun(restarts=1)
    assert choose_place(tmp_path / "run", None) == Place(first, None, True)
    (first / "resume").mkdir()
    (first / "resume" / "previous.ckpt").write_bytes(b"state")
    assert choose_place(tmp_path / "run", None) == Place(first, first, True)


def test_another_torchrun_takes_another_folder(tmp_path: Path, torchrun) -> None:
    torchrun()
    begin(tmp_path / "run")
    torchrun(elsewhere=True)
    second = begin(tmp_path / "run")
    assert second == tmp_path / "run-2"
    torchrun(restarts=1, elsewhere=True)
    assert choose_place(tmp_path / "run", None).resume == second
    torchrun(restarts=1)
    assert choose_place(tmp_path / "run", None).resume == tmp_path / "run"


def test_a_job_may_move_to_another_machine(tmp_path: Path, torchrun) -> None:
    """Its newest run counts: the same job may have had one before."""
    torchrun("job17")
    begin(tmp_path / "run")
    torchrun("job17", elsewhere=True)
    second = begin(tmp_path / "run")
    (second / "launch.json").write_text(json.dumps({"job": "job17", "agent": "3:elsewhere"}))
    torchrun("job17", restarts=1, elsewhere=True)
    assert choose_place(tmp_path / "run", None).resume == second
    torchrun("job18", restarts=1, elsewhere=True)
    assert choose_place(tmp_path / "run", None).resume is None


def test_a_damaged_mark_is_no_one_s(tmp_path: Path, torchrun) -> None:
    torchrun()
    first = begin(tmp_path / "run")
    (first / "launch.json").write_text('{"job": ')
    assert choose_place(tmp_path / "run", None) == Place(tmp_path / "run-2", None, False)
