"""The command as a process of its own, cheap enough to start dozens of times."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SERVER = """
import gc, json, os, resource, sys
import torch.utils.tensorboard
from foveal.cli import main
from foveal.verbs import config, demo, init

gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.setsid()
    os.chdir(job["folder"])
    for number, name in enumerate((os.devnull, job["out"], job["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    if job["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest_file"], resource.RLIM_INFINITY))
    sys.argv = ["foveal", *job["arguments"]]
    main()
"""
"""Imports everything once, then forks a process for every command line. Only the start is shared."""


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    """Exit code; negative: the number of the signal that killed it."""
    out: str
    err: str


class Running:
    """A command at work; its process leads a group of its own, as a shell's job does."""

    def __init__(self, server: subprocess.Popen[str], out: Path, err: Path) -> None:
        assert server.stdout is not None
        self._lines = server.stdout
        self._out, self._err = out, err
        self.pid = int(self._lines.readline())
        self.ended = False

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Sleep until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not happen; {self._out.read_text()}"
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        """A signal as it comes in life: Ctrl-C goes to the whole group, others to the process."""
        (os.killpg if number == signal.SIGINT else os.kill)(self.pid, number)

    def wait(self) -> Done:
        """Its end."""
        code = int(self._lines.readline())
        self.ended = True
        return Done(code, self._out.read_text(), self._err.read_text())


class Command:
    """``command("train", "a.yaml", folder=here)`` is ``foveal train a.yaml``."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._count = 0
        self._last: Running | None = None
        settings = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )

    def start(self, *arguments: str | Path, folder: Path, largest_file: int = 0) -> Running:
        """Start it in ``folder``. largest_file: bytes that a file may have before writing fails; 0: any."""
        if self._last is not None and not self._last.ended:  # its test has failed
            self._last.signal(signal.SIGKILL)
            self._last.wait()
        self._count += 1
        out, err = self._logs / f"{self._count}.out", self._logs / f"{self._count}.err"
        job: dict[str, Any] = {"arguments": [str(argument) for argument in arguments]}
        job |= {"folder": str(folder), "out": str(out), "err": str(err), "largest_file": largest_file}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        self._last = Running(self._server, out, err)
        return self._last

    def __call__(self, *arguments: str | Path, folder: Path, largest_file: int = 0) -> Done:
        """Run it to its end."""
        return self.start(*arguments, folder=folder, largest_file=largest_file).wait()

    def close(self) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.communicate()


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs ``foveal`` in a process of its own."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    command = Command(tmp_path_factory.mktemp("logs"))
    yield command
    command.close()
