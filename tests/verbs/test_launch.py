"""The run folder of a command that torchrun starts again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foveal.verbs import launch
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


def test_of_runs_that_begin_at_once_each_has_its_folder(tmp_path: Path) -> None:
    """All were told that the name is free, and came to make it after they had read their data."""
    wanted = tmp_path / "runs" / "sweep"
    places = [choose_place(wanted, None) for _ in range(3)]
    assert {place.folder for place in places} == {wanted}
    with ThreadPoolExecutor() as threads:
        made = list(threads.map(lambda place: launch.begin(place, wanted), places))
    assert {folder.name for folder in made} == {"sweep", "sweep-2", "sweep-3"}


@pytest.mark.parametrize("inside", ["", "config.yaml"])
def test_a_link_that_leads_nowhere_takes_the_name(tmp_path: Path, inside: str) -> None:
    wanted = tmp_path / "run"
    if inside:
        wanted.mkdir()
    (wanted / inside).symlink_to(tmp_path / "nowhere")
    assert launch.begin(choose_place(wanted, None), wanted) == tmp_path / "run-2"


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
