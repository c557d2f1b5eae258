"""Ctrl-C and SIGTERM at any moment of a command, and how its process ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIGNALS = pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped by SIGTERM")]
)


def ended(program: str, folder: Path) -> tuple[int, str, str]:
    """Exit code of a Python process, and what it wrote to stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=folder, timeout=100,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@SIGNALS
def test_interrupted_while_modules_load(tmp_path: Path, name: str, code: int, said: str) -> None:
    program = (
        "import os, signal, sys; from foveal import cli\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'foveal.config.schema':\n"
        f"            try: os.kill(os.getpid(), signal.{name})\n"
        "            except BaseException: pass\n"  # as some packages do
        "sys.meta_path.insert(0, Slow()); sys.argv[1:] = ['config', 'schema']; cli.main()"
    )
    assert ended(program, tmp_path) == (code, "", f"foveal: {said}\n")


STOPPED = """
import os, signal, subprocess, sys, tempfile, time
from foveal.exits import loading, run

def app(standalone_mode):
    with tempfile.TemporaryDirectory(dir="."):
        WORK
        os.kill(os.getpid(), signal.SIGNAL)
        time.sleep(20)
    return 0

run(app)
"""


@SIGNALS
def test_a_stopped_command_leaves_nothing(tmp_path: Path, name: str, code: int, said: str) -> None:
    """Its temporary folder goes; a process that it has forked dies of SIGTERM as any does."""
    # Python drops a signal that reaches a process before its fork is over, so the child says that it is.
    fork = (
        "heard, say = os.pipe(); child = os.fork() or (os.write(say, b'.'), time.sleep(20)); os.read(heard, 1); "
        "os.kill(child, signal.SIGTERM); print(os.waitpid(child, 0)[1])"
    )
    program = STOPPED.replace("SIGNAL", name).replace("WORK", fork)
    assert ended(program, tmp_path) == (code, "15\n", f"foveal: {said}\n")
    assert list(tmp_path.iterdir()) == []


LOST = {
    "after a fork": "os.register_at_fork(after_in_parent=stop); os.fork() or os._exit(0)",
    "in a destructor": "type('Freed', (), {'__del__': lambda self: stop()})()",
}


@pytest.mark.parametrize("lost", LOST)
@SIGNALS
def test_a_signal_that_comes_where_python_drops_it(
    tmp_path: Path, lost: str, name: str, code: int, said: str
) -> None:
    """What a handler raises there reaches nobody."""
    once = f"stop = lambda sent=[]: sent or (sent.append(1), os.kill(os.getpid(), signal.{name}))\n        "
    rest = "time.sleep(20); os.kill(os.getpid(), signal.SIGKILL)"
    program = STOPPED.replace("os.kill(os.getpid(), signal.SIGNAL)", rest).replace("WORK", once + LOST[lost])
    assert ended(program, tmp_path) == (code, "", f"foveal: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_break_into_what_the_first_one_cleans_up(tmp_path: Path) -> None:
    twice = (
        "try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)\n"
        "        finally: os.kill(os.getpid(), signal.SIGTERM); print('cleaned up')"
    )
    program = STOPPED.replace("WORK", twice).replace("SIGNAL", "SIGKILL")
    assert ended(program, tmp_path) == (
        143,
        "cleaned up\n",
        "foveal: stopped by SIGTERM\n",
    )


def test_a_signal_that_a_package_swallows_can_be_sent_again(tmp_path: Path) -> None:
    work = "try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)\n        except BaseException: pass"
    program = STOPPED.replace("WORK", work).replace("SIGNAL", "SIGTERM")
    assert ended(program, tmp_path) == (143, "", "foveal: stopped by SIGTERM\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_after_the_last_line_takes_nothing_back(tmp_path: Path, name: str) -> None:
    program = (
        "import atexit, os, signal, time; from foveal.exits import run\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), signal.{name}), time.sleep(20)))\n"
        "run(lambda standalone_mode: print('done', flush=True))"
    )
    assert ended(program, tmp_path) == (0, "done\n", "")


def test_who_looks_on_sees_the_end(tmp_path: Path) -> None:
    program = (
        "import runpy, sys; sys.argv = ['cProfile', '-m', 'foveal', '--version']\n"
        "runpy.run_module('cProfile', run_name='__main__')"
    )
    code, said, _ = ended(program, tmp_path)
    assert code == 0
    assert "function calls" in said


def test_a_closed_stdout_is_no_bug(tmp_path: Path) -> None:
    words = f"exec {sys.executable} -m foveal config schema >&-"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_that_was_started_deaf_to_ctrl_c_stays_so(tmp_path: Path) -> None:
    """As a shell starts what a script puts into the background."""
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + STOPPED.replace(
        "WORK", "with loading(): os.kill(os.getpid(), signal.SIGINT)"
    ).replace("SIGNAL", "SIGINT").replace("sleep(20)", "sleep(0)")
    assert ended(program, tmp_path) == (0, "", "")
