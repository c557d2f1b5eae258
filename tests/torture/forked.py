"""A command of ours in a fork, so that torch is imported once for thousands, or in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from frame import ENVIRONMENT
from memory import resident
from typer.main import get_command

COMMAND: list[Any] = []
"""The command line, put together once."""


class Done(NamedTuple):
    """A process that has run."""

    code: int
    """Negative: by that signal."""
    hung: bool
    seconds: float
    megabytes: float
    """That it came to hold beside what it was born with."""
    text: str
    """What it wrote to stdout and stderr."""

    @property
    def crashed(self) -> str:
        """What no input may bring about; empty: it did not."""
        if self.hung:
            return f"no end after {self.seconds:.0f} s"
        if self.code < 0:
            return f"ended by signal {-self.code}"
        for sign in ("Traceback (most recent", "a bug of Foveal's"):
            if sign in self.text:
                return f"{sign}: {self.text.strip().splitlines()[-1]}"
        return f"exit code {self.code}" if self.code == 1 else ""


def forked(work: Callable[[], object], folder: Path, seconds: float = 30) -> Done:
    """Do it in a fork, in a folder; the fork is killed after so many seconds."""
    log, began = folder.parent / f"{folder.name}.log", time.monotonic()
    born, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.write(told, str(resident()).encode())
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os.chdir(folder)
            work()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    hung = False
    os.close(told)
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - began > seconds:
            hung = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    before = float(os.read(born, 99) or 0)
    os.close(born)
    text = log.read_text(errors="backslashreplace")
    log.unlink()
    code, took = os.waitstatus_to_exitcode(status), time.monotonic() - began
    return Done(code, hung, took, max(0.0, usage.ru_maxrss / 1024 - before), text)


def process(words: Sequence[object], folder: Path, **variables: str) -> Done:
    """Any command in a process of its own; its memory is not looked at."""
    began = time.monotonic()
    done = subprocess.run(
        [*map(str, words)],
        cwd=folder, env={**ENVIRONMENT, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Done(done.returncode, False, time.monotonic() - began, 0, done.stdout + done.stderr)


def foveal(*words: object) -> Callable[[], None]:
    """The command with these arguments."""

    def work() -> None:
        from foveal.exits import run

        sys.argv = ["foveal", *map(str, words)]
        run(COMMAND[0])

    return work


def warm() -> None:
    """Import what the commands import, so that no fork has to."""
    os.environ |= ENVIRONMENT
    import foveal.verbs.doctor
    import foveal.verbs.init
    import foveal.verbs.predict  # noqa: F401
    from foveal.cli import app

    COMMAND.append(get_command(app))
