"""A command in several processes, as torchrun would start them, without the seconds that each start takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SERVER = """
import gc, json, os, runpy, sys, torch.distributed
import pytorch_lightning.strategies, torch.utils.tensorboard
from foveal.cli import main
from foveal.verbs import train

# As torchrun's own, it lives on from one start of the processes to the next.
store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    children = []
    for rank, environment in enumerate(job["environments"]):
        child = os.fork()
        if not child:
            break
        children.append(child)
    else:
        print(json.dumps(children), flush=True)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
        continue
    os.setsid()
    os.chdir(job["folder"])
    for number, name in enumerate((os.devnull, f"{job['log']}.{rank}.out", f"{job['log']}.{rank}.err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.environ.update(environment)
    if "RANK" in environment:
        os.environ["MASTER_PORT"] = str(store.port)
    sys.argv = ["foveal", *job["arguments"]]
    if job["script"]:
        runpy.run_path(job["script"], run_name="__main__")
        os._exit(0)
    main()
"""


class Done(NamedTuple):
    """What processes came to, by rank."""

    codes: list[int]
    out: list[str]
    err: list[str]


class Group:
    """Processes at work."""

    def __init__(self, server: subprocess.Popen[str], log: Path) -> None:
        assert server.stdout is not None
        self._lines = server.stdout
        self._log = log
        self.pids: list[int] = json.loads(self._lines.readline())
        self.ended = False

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 200) -> None:
        """Sleep until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not happen; {self._read('out')}{self._read('err')}"
            time.sleep(0.005)

    def wait(self) -> Done:
        """Their end."""
        codes = json.loads(self._lines.readline())
        self.ended = True
        return Done(codes, self._read("out"), self._read("err"))

    def _read(self, stream: str) -> list[str]:
        return [Path(f"{self._log}.{rank}.{stream}").read_text() for rank in range(len(self.pids))]


class Ranks:
    """``ranks("train", "a.yaml", folder=here)`` is ``torchrun --nproc-per-node 2 -m foveal train a.yaml``."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._count = 0
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"},
        )

    def start(
        self,
        *arguments: str | Path,
        folder: Path,
        count: int = 2,
        script: Path | None = None,
        **environment: str,
    ) -> Group:
        """Start ``count`` processes in ``folder``; script: instead of the command."""
        self._count += 1
        log = self._logs / str(self._count)
        job: dict[str, Any] = {
            "arguments": [str(argument) for argument in arguments],
            "environments": [{**_surroundings(rank, count), **environment} for rank in range(count)],
            "folder": str(folder),
            "log": str(log),
            "script": str(script or ""),
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return Group(self._server, log)

    def __call__(self, *arguments: str | Path, **options: Any) -> Done:
        """Run them to their end."""
        return self.start(*arguments, **options).wait()

    def close(self) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.communicate()


def _surroundings(rank: int, count: int) -> dict[str, str]:
    """What torchrun says to process ``rank`` on one machine; MASTER_PORT comes from the server."""
    if count == 1:
        return {}
    values = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "GROUP_RANK": 0,
    }
    words = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {name: str(value) for name, value in values.items()} | words
